// A phone with the example on it. WeChat is a fake over fetch; the requests really go to the service.
const { join } = require('node:path')

const { createWx } = require('../../../clients/miniprogram/test/fakes')

const ROOT = join(__dirname, '..')

const load = (path) => {
  delete require.cache[require.resolve(path)]
  return require(path)
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

const setData = (target) => (changes) => {
  for (const [path, value] of Object.entries(changes)) {
    const names = path.split('.')
    const last = names.pop()
    names.reduce((data, name) => data[name], target.data)[last] = value
  }
}

/** Creates what Page() or Component() was given, as WeChat does. */
const created = ({ methods, ...options }) => {
  const instance = { ...options, ...methods, data: structuredClone(options.data) }
  return Object.assign(instance, { setData: setData(instance) })
}

const loaded = (kind, path) => {
  let options
  globalThis[kind] = (given) => (options = given)
  load(join(ROOT, `${path}.js`))
  return created(options)
}

/** WeChat, with the calls that the pages make: where they lead is in `opened`. By default the camera scanned a code. */
const createWeChat = ({ consent = true, entered = 1047, ...options } = {}) => {
  const wx = createWx(options)
  const opened = []
  return Object.assign(wx, {
    opened,
    entered,
    getEnterOptionsSync: () => ({ scene: wx.entered, query: {} }),
    reLaunch: ({ url }) => opened.push(url),
    navigateTo: ({ url }) => opened.push(url),
    requirePrivacyAuthorize: ({ success, fail }) => (consent ? success() : fail()),
    onNeedPrivacyAuthorization: (listener) => (wx.askForConsent = listener),
    openPrivacyContract: () => opened.push('privacy contract'),
  })
}

/** Opens app.js as WeChat does, and returns the app when its head start is over. */
const openApp = async (wx) => {
  let app
  Object.assign(globalThis, { wx, App: (options) => (app = options), getApp: () => app })
  load(join(ROOT, 'app.js'))
  app.onLaunch()
  await app.client.token().catch(() => {})
  await settled()
  return app
}

const openPage = async (path, options = {}) => {
  const page = loaded('Page', path)
  await page.onLoad(options)
  return page
}

module.exports = { createWeChat, loaded, openApp, openPage, ROOT, settled }
