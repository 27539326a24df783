const config = require('./config')
const createLogin = require('./utils/wxlogin')

App({
  wxlogin: createLogin(config),

  onLaunch() {
    // A head start nobody waits for: a page that requests something meanwhile shares this login.
    this.wxlogin.token().catch((error) => console.warn('启动时登录失败', error.code, error.message))
  },
})
