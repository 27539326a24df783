const TOKEN = 'token'
const SANDBOX_OPENID = 'sandbox-openid'

const LOGIN_TIMEOUT = 5000
// Longer than the service waits for WeChat (3 s by default): an answer dropped on the way home wastes the code.
const REQUEST_TIMEOUT = 10000

const LOGIN_CODES = { 1: 'code_missing', 2: 'code_invalid', 3: 'login_failed' }
const BUSY = [429, 503]

const failure = (code, message, more) => Object.assign(new Error(message), { code, status: 0 }, more)

const unanswered = (what, errMsg = '') => failure(/timeout/.test(errMsg) ? 'timeout' : what, errMsg || what)

const isOk = ({ statusCode }) => statusCode >= 200 && statusCode < 300

/** The error in an answer, whether it is /login/'s {status, msg} or /v1's problem+json. */
const refusal = ({ statusCode, data }) => {
  const body = data || {}
  return failure(
    body.code || LOGIN_CODES[body.status] || `http_${statusCode}`,
    body.msg || body.detail || body.title || `HTTP ${statusCode}`,
    {
      status: body.status || statusCode,
      statusCode,
      // /login/ leaves this to its HTTP status.
      retry: body.retry || (BUSY.includes(statusCode) ? 'later' : undefined),
    },
  )
}

/**
 * Login of one mini-program: {token, login, request, logout}, all of them returning promises.
 *
 * Every rejection is an Error with
 *   code        for programs: 'network', 'timeout', 'wx_login_failed', 'sandbox_unavailable',
 *               'code_missing', 'code_invalid' and 'login_failed' for status 1, 2 and 3, or the service's own
 *   status      the answer's own: 1, 2 or 3 from /login/, the HTTP status from /v1, 0 when there was no answer
 *   statusCode  the HTTP status, when there was an answer
 *   retry       'new_code', 'later' or 'never', when the service says so; 'later' for a login it is too busy for
 */
module.exports = function createLogin(config, api = wx) {
  let pending = null

  const stored = () => api.getStorageSync(TOKEN)

  const send = ({ url, ...options }) =>
    new Promise((resolve, reject) => {
      api.request({
        timeout: REQUEST_TIMEOUT,
        ...options,
        url: config.baseUrl + url,
        success: resolve,
        fail: ({ errMsg }) => reject(unanswered('network', errMsg)),
      })
    })

  const sendAs = (token, options) =>
    send({ ...options, header: { ...options.header, Authorization: `Bearer ${token}` } })

  const wxCode = () =>
    new Promise((resolve, reject) => {
      const fail = ({ errMsg }) => reject(unanswered('wx_login_failed', errMsg))
      api.login({
        timeout: LOGIN_TIMEOUT,
        success: (res) => (res.code ? resolve(res.code) : fail(res)),
        fail,
      })
    })

  const sandboxCode = async () => {
    // The openid sent back makes this the same WeChat user each time, as on a phone.
    const openid = api.getStorageSync(SANDBOX_OPENID) || undefined
    const res = await send({ url: '/sandbox/codes', method: 'POST', data: { appid: config.appid, openid } })
    if (!isOk(res)) {
      throw failure('sandbox_unavailable', '这个服务没有沙箱：请运行 make demo，或在 config.js 中设 sandbox: false', {
        status: res.statusCode,
        statusCode: res.statusCode,
      })
    }
    api.setStorageSync(SANDBOX_OPENID, res.data.openid)
    return res.data.code
  }

  const getCode = () => (config.sandbox ? sandboxCode() : wxCode())

  const exchange = async () => {
    const res = await send({ url: '/login/', method: 'POST', data: { code: await getCode() } })
    if (isOk(res) && res.data.status === 0) return res.data.data.token
    throw refusal(res)
  }

  const freshLogin = async () => {
    const token = await exchange().catch((error) => {
      if (error.status !== 2) throw error
      return exchange()
    })
    api.setStorageSync(TOKEN, token)
    return token
  }

  /** Logs in afresh; calls during a login share it. Resolves to the token. */
  const login = () => {
    if (!pending) {
      pending = freshLogin().finally(() => {
        pending = null
      })
    }
    return pending
  }

  /** The stored token, or that of a login now. */
  const token = async () => stored() || login()

  /**
   * wx.request with the token, `url` being a path of the service. Resolves to the answer's data; rejects unless it is 2xx.
   * A 401 leads to one login and one more try.
   */
  const request = async (options) => {
    const used = await token()
    let res = await sendAs(used, options)

    // No token any more: the user logged out while this was under way, and must not be logged in again.
    if (res.statusCode === 401 && stored()) {
      // Another token by now: some other request has already logged in.
      res = await sendAs(stored() === used ? await login() : stored(), options)
    }

    if (!isOk(res)) throw refusal(res)
    return res.data
  }

  /** Ends the session and forgets its token, which is gone even when the service cannot be reached. */
  const logout = async () => {
    // Else a login under way would store its token after we are gone.
    if (pending) await pending.catch(() => {})
    const last = stored()
    if (!last) return

    api.removeStorageSync(TOKEN)
    const res = await sendAs(last, { url: '/v1/sessions/current', method: 'DELETE' })
    if (!isOk(res) && res.statusCode !== 401) throw refusal(res)
  }

  return { token, login, request, logout }
}
