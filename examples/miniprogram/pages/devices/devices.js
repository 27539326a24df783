const run = require('../../utils/page')
const localTime = require('../../utils/time')

const { client } = getApp()

const toDevice = ({ id, current, device, user_agent: userAgent, ip, created_at: createdAt }) => ({
  id,
  current,
  name: device || userAgent || '未知设备',
  detail: [ip, `登录于 ${localTime(createdAt)}`].filter(Boolean).join(' · '),
})

Page({
  data: { devices: [], busy: false, error: '' },

  onLoad() {
    return run(this, () => this.refresh())
  },

  async refresh() {
    const { sessions } = await client.sessions()
    this.setData({ devices: sessions.map(toDevice) })
  },

  end({ currentTarget }) {
    return run(this, async () => {
      try {
        await client.endSession(currentTarget.dataset.id)
      } catch (error) {
        if (error.code !== 'not_found') throw error // it is over already
      }
      await this.refresh()
    })
  },
})
