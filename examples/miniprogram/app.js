const { createClient } = require('@wxlogin/client')

const config = require('./config')
const { isLoggedOut } = require('./utils/errors')
const createWeChat = require('./utils/wechat')

const wechat = createWeChat(config)

App({
  wechat,
  client: createClient({ baseUrl: config.baseUrl, adapter: wechat.adapter }),

  onLaunch() {
    this.client.onLoggedOut((error) => this.showLoggedOut(error.code))

    // A head start: a page that requests something meanwhile shares this login.
    this.client.token().catch((error) => {
      if (isLoggedOut(error)) this.showLoggedOut(error.code)
      else console.warn('启动时登录失败', error.code, error.message)
    })
  },

  showLoggedOut(code) {
    wx.reLaunch({ url: `/pages/logged-out/logged-out?code=${code}` })
  },
})
