const { wxlogin } = getApp()

const MESSAGES = {
  network: '连接不上服务，请确认 make demo 正在运行',
  timeout: '服务没有及时回应，请稍后再试',
  wx_login_failed: '微信登录没有成功，请稍后再试',
}

const explain = (error) =>
  MESSAGES[error.code] || (error.retry === 'later' ? '服务繁忙，请稍后再试' : error.message)

const localTime = (rfc3339) => {
  const time = new Date(rfc3339)
  const two = (number) => String(number).padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}`
}

const toUser = ({ id, name }) => ({ id, name, initial: [...(name || '微')][0] })

const toDevice = (session) => ({
  id: session.id,
  current: session.current,
  name: session.user_agent || '未知设备',
  detail: [session.ip, `登录于 ${localTime(session.created_at)}`].filter(Boolean).join(' · '),
})

Page({
  data: { user: null, devices: [], busy: false, error: '' },

  onLoad() {
    return this.run(() => this.refresh())
  },

  relogin() {
    return this.run(async () => {
      await wxlogin.login()
      await this.refresh()
    })
  },

  logout() {
    return this.run(async () => {
      this.setData({ user: null, devices: [] })
      await wxlogin.logout()
    })
  },

  async rename() {
    const { confirm, content } = await wx.showModal({
      title: '修改昵称',
      editable: true,
      placeholderText: '请输入新昵称',
    })
    const name = (content || '').trim()
    if (!confirm || !name) return
    await this.run(async () => {
      const user = await wxlogin.request({ url: '/v1/me', method: 'PUT', data: { name } })
      this.setData({ user: toUser(user) })
    })
  },

  endDevice({ currentTarget }) {
    return this.run(async () => {
      await wxlogin.request({ url: `/v1/sessions/${currentTarget.dataset.id}`, method: 'DELETE' })
      await this.refresh()
    })
  },

  async refresh() {
    const [user, { sessions }] = await Promise.all([
      wxlogin.request({ url: '/v1/me' }),
      wxlogin.request({ url: '/v1/sessions' }),
    ])
    this.setData({ user: toUser(user), devices: sessions.map(toDevice) })
  },

  async run(work) {
    this.setData({ busy: true, error: '' })
    try {
      await work()
    } catch (error) {
      this.setData({ error: explain(error) })
    }
    this.setData({ busy: false })
  },
})
