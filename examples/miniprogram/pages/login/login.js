const run = require('../../utils/page')

const { client } = getApp()

const REASONS = {
  logged_out: '登录后就能使用全部功能。',
  session_ended: '这台设备已被下线。如果不是你本人操作的，登录后请检查已登录的设备。',
  session_replaced: '你在其他设备上有更新的登录，这里的登录已失效。',
}

Page({
  data: { reason: '', button: '', busy: false, error: '' },

  onLoad({ code }) {
    const button = code === 'logged_out' ? '登录' : '重新登录'
    this.setData({ reason: REASONS[code] || '已退出登录。', button })
  },

  login() {
    return run(this, async () => {
      await client.login()
      wx.reLaunch({ url: '/pages/index/index' })
    })
  },
})
