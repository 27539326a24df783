const { wxAdapter, WxLoginError } = require('@wxlogin/client')

const OPENID = 'sandbox-openid'

/** What WeChat gives: codes of wx.login(), codes of the phone button, encrypted data. */
const real = () => ({
  adapter: wxAdapter(),
  phoneCode: async ({ code }) => code,
  weRunData: () => wx.getWeRunData(),
})

/** The same from the sandbox of `make demo`, which does not know WeChat's codes. */
const sandbox = ({ baseUrl, appid }) => {
  const adapter = wxAdapter()

  const ask = async (what, data) => {
    const url = `${baseUrl}/sandbox/${what}`
    const response = await adapter.request({ url, method: 'POST', data: { appid, ...data } })
    if (response.statusCode === 201) return response.data
    throw new WxLoginError('sandbox_unavailable', `${what}: HTTP ${response.statusCode}`, { retry: 'never' })
  }

  const code = async () => {
    // The openid sent back makes this the same WeChat user each time, as on a phone.
    const issued = await ask('codes', { openid: wx.getStorageSync(OPENID) || undefined })
    wx.setStorageSync(OPENID, issued.openid)
    return issued.code
  }

  return {
    adapter: { ...adapter, code },
    phoneCode: async () => (await ask('phone-codes')).code,
    weRunData: () => {
      const today = Math.floor(Date.now() / 1000)
      const stepInfoList = [{ timestamp: today, step: 6832 }]
      return ask('encrypt', { openid: wx.getStorageSync(OPENID), data: { stepInfoList } })
    },
  }
}

module.exports = (config) => (config.sandbox ? sandbox(config) : real())
