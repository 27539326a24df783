// wx.request's own list. PATCH is not on it:
// https://developers.weixin.qq.com/miniprogram/dev/api/network/request/wx.request.html
const METHODS = ['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT']

const parsed = (text) => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * A stand-in for the global `wx`, over fetch.
 *
 *   code       what wx.login() gives, by an async function
 *   onRequest  awaited before a request goes out, and may change it
 *   modal      the user's answer to wx.showModal
 */
module.exports = function createWx({ code, onRequest = async () => {}, modal } = {}) {
  const storage = new Map()
  const calls = []

  const request = async ({ url, method = 'GET', data, header, timeout, success, fail }) => {
    const options = { url, method, data: { ...data }, header: { 'content-type': 'application/json', ...header } }
    calls.push({ method, path: new URL(url).pathname, timeout })
    let answer
    try {
      if (!METHODS.includes(method)) throw new Error('method is invalid')
      await onRequest(options)
      const response = await fetch(options.url, {
        method,
        headers: { ...options.header, Referer: 'https://servicewechat.com/touristappid/devtools/page-frame.html' },
        body: data && JSON.stringify(options.data),
        signal: AbortSignal.timeout(timeout ?? 60000),
      })
      answer = { statusCode: response.status, data: parsed(await response.text()), errMsg: 'request:ok' }
    } catch (error) {
      return fail?.({ errMsg: `request:fail ${error.name === 'TimeoutError' ? 'timeout' : error.message}` })
    }
    return success?.(answer)
  }

  const login = async ({ timeout, success, fail }) => {
    calls.push({ method: 'wx.login', path: '', timeout })
    let answer
    try {
      answer = { code: await code(), errMsg: 'login:ok' }
    } catch (error) {
      return fail?.({ errMsg: `login:fail ${error.message}` })
    }
    return success?.(answer)
  }

  return {
    calls,
    count: (what) => calls.filter(({ method, path }) => `${method} ${path}`.trim() === what).length,

    request: (options) => void request(options),
    login: (options) => void login(options),
    showModal: async () => modal,
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, value) => void storage.set(key, value),
    removeStorageSync: (key) => void storage.delete(key),
  }
}
