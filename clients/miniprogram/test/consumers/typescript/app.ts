import { createClient, WxLoginError } from '@wxlogin/client'
import type { Details, Platform, SessionList } from '@wxlogin/client'

const client = createClient({ baseUrl: 'https://api.example.com' })

// `wx` is what the default adapter expects.
const platform: Platform = wx
void platform

Page({
  data: { name: '', phone: '', numbers: [] as string[] },

  async onLoad({ scene = '' }: { scene?: string }) {
    const me = await client.me()
    const { sessions }: SessionList = await client.sessions()
    await Promise.all(sessions.filter(({ current }) => !current).map(({ id }) => client.endSession(id)))
    const count = await client.request<{ total: number }>({ url: '/orders/count', timeout: 5000 })
    console.info(count.total)
    // @ts-expect-error: nothing is known about the body
    console.info((await client.request({ url: '/orders/count' })).total)
    const scan = await client.scan(decodeURIComponent(scene))
    this.setData({ name: me.name, phone: me.phone ?? '', numbers: scan.match_numbers })
    await scan.approve(scan.match_numbers[0])
  },

  async onPhone({ detail }: WechatMiniprogram.ButtonGetPhoneNumber) {
    try {
      if (detail.code) this.setData({ phone: (await client.bindPhone(detail.code)).phone ?? '' })
    } catch (error) {
      if (!(error instanceof WxLoginError)) throw error
      const { requestId }: Details = error
      const seconds: number | undefined = error.retry === 'later' ? error.retryAfter : undefined
      console.warn(error.code, error.rid, requestId, seconds)
    }
  },

  async onAvatar({ detail }: WechatMiniprogram.CustomEvent<{ avatarUrl: string }>) {
    const { url } = await client.upload<{ url: string }>({ url: '/files', filePath: detail.avatarUrl, name: 'file' })
    await client.request({ url: '/v1/me', method: 'PUT', data: { avatar: url } })
    // @ts-expect-error: wx.request() has no PATCH
    await client.request({ url: '/v1/me', method: 'PATCH', data: { avatar: url } })
  },
})

const remove: () => void = client.onLoggedOut(({ code }) => wx.reLaunch({ url: `/pages/logged-out/index?code=${code}` }))
remove()
