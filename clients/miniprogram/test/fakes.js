// wx.request's own list: https://developers.weixin.qq.com/miniprogram/dev/api/network/request/wx.request.html
const METHODS = ['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT']
const REFERER = 'https://servicewechat.com/touristappid/devtools/page-frame.html'

const parsed = (text) => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * What wx, uni and Taro have in common here: a phone whose requests go out by fetch.
 *
 *   code       what wx.login() gives, by an async function
 *   onRequest  awaited before a request goes out. It may change the request, throw as a phone without a network does,
 *              and return a response in place of the server's
 *   storage    what is on the phone; a phone that is started again has the storage of the last one
 */
const createPhone = ({ code, onRequest = async () => {}, storage = new Map() } = {}) => {
  const calls = []

  const send = async (options, body) => {
    const { url, method, timeout } = options
    calls.push({ method, path: new URL(url).pathname, timeout, header: options.header })
    if (!METHODS.includes(method)) throw new Error('method is invalid')
    const instead = await onRequest(options)
    if (instead) return { header: {}, ...instead }
    const response = await fetch(options.url, {
      method,
      headers: { ...options.header, Referer: REFERER },
      body: body(options),
      signal: AbortSignal.timeout(timeout ?? 60000),
    })
    return { statusCode: response.status, data: await response.text(), header: Object.fromEntries(response.headers) }
  }

  const failed = (name, error) => ({ errMsg: `${name}:fail ${error.name === 'TimeoutError' ? 'timeout' : error.message}` })

  const api = {
    async login({ timeout }) {
      calls.push({ method: 'login', path: '', timeout })
      return { code: await code(), errMsg: 'login:ok' }
    },
    async request({ url, method = 'GET', data, header, timeout }) {
      const options = { url, method, data: { ...data }, header: { 'content-type': 'application/json', ...header }, timeout }
      const response = await send(options, () => data && JSON.stringify(options.data))
      return { ...response, data: typeof response.data === 'string' ? parsed(response.data) : response.data }
    },
    // The content of the file is its path.
    async uploadFile({ url, filePath, name, formData = {}, header, timeout }) {
      const form = new FormData()
      form.append(name, new Blob([filePath]), filePath)
      Object.entries(formData).forEach(([key, value]) => form.append(key, value))
      return send({ url, method: 'POST', header: { ...header }, timeout }, () => form)
    },
  }

  return {
    calls,
    storage,
    count: (what) => calls.filter(({ method, path }) => `${method} ${path}`.trim() === what).length,
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, value) => void storage.set(key, structuredClone(value)),
    removeStorageSync: (key) => void storage.delete(key),

    /** Runs a call, and reports to the callbacks. Resolves and rejects as the call does. */
    async run(name, options) {
      let result
      try {
        result = await api[name](options)
      } catch (error) {
        const failure = failed(name, error)
        options.fail?.(failure)
        options.complete?.(failure)
        throw failure
      }
      options.success?.(result)
      options.complete?.(result)
      return result
    },
  }
}

const NAMES = ['login', 'request', 'uploadFile']

const platform = (options, method) => {
  const phone = createPhone(options)
  return Object.assign(phone, Object.fromEntries(NAMES.map((name) => [name, method(phone, name)])))
}

/** wx: request() and uploadFile() return a task, login() returns nothing. */
const createWx = (options) =>
  platform(options, (phone, name) => (call) => {
    phone.run(name, call).catch(() => {})
    return name === 'login' ? undefined : { abort() {} }
  })

/** uni of Vue 2: with callbacks, as wx; without, a promise of [error, result], which never rejects. */
const createUni = (options) =>
  platform(options, (phone, name) => (call) => {
    const done = phone.run(name, call)
    if (call.success || call.fail || call.complete) {
      done.catch(() => {})
      return name === 'login' ? undefined : { abort() {} }
    }
    return done.then((result) => [null, result], (failure) => [failure])
  })

/** Taro: always a promise, which rejects whether there is a callback or not. `interceptor` sees what request() returns. */
const createTaro = ({ interceptor = (response) => response, ...options } = {}) =>
  platform(options, (phone, name) => (call) => {
    const done = phone.run(name, call).then(name === 'request' ? interceptor : (result) => result)
    return Object.assign(done, { abort() {} })
  })

module.exports = { createWx, createUni, createTaro }
