const { createClient } = require('@wxlogin/client')

const config = require('./config')
const { isLoggedOut } = require('./utils/errors')
const createWeChat = require('./utils/wechat')

const wechat = createWeChat(config)

App({
  wechat,
  client: createClient({ baseUrl: config.baseUrl, adapter: wechat.adapter }),

  onLaunch() {
    // Logged out elsewhere: now, or before this start.
    this.client.onLoggedOut((error) => this.showLogin(error))

    // A head start: a page that requests something meanwhile shares this login.
    this.client.token().catch((error) => {
      if (error.code === 'logged_out') this.showLogin(error)
      else if (!isLoggedOut(error)) console.warn('启动时登录失败', error.code, error.message)
    })
  },

  showLogin({ code }) {
    wx.reLaunch({ url: `/pages/login/login?code=${code}` })
  },
})
