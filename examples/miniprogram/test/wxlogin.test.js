// Runs against a demo that is up: `make demo`, then `node --test test/wxlogin.test.js`.
const assert = require('node:assert/strict')
const { afterEach, before, test } = require('node:test')

const config = require('../config')
const createLogin = require('../utils/wxlogin')
const createWx = require('./wx')

const DEMO = (process.env.WXLOGIN_URL || 'http://127.0.0.1:8000').replace(/\/+$/, '')
const LOGIN = 'POST /login/'
const ME = { url: '/v1/me' }

const setUp = (options, overrides) => {
  const wx = createWx(options)
  return { wx, login: createLogin({ ...config, baseUrl: DEMO, ...overrides }, wx) }
}

const tellSandbox = async (path, data) => {
  const response = await fetch(`${DEMO}/sandbox/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(data),
  })
  assert.equal(response.status, 201)
  return response.json()
}

const sandboxCode = async () => (await tellSandbox('codes', { appid: config.appid })).code

const letWeChatFail = (errcode) => tellSandbox('faults', { path: '/sns/jscode2session', errcode })

const badCode = async () => 'not-a-code-of-wechat'

const asUser = (token, method, path) =>
  fetch(DEMO + path, { method, headers: { Authorization: `Bearer ${token}` } })

const endBehindItsBack = async (token) =>
  assert.equal((await asUser(token, 'DELETE', '/v1/sessions/current')).status, 204)

const load = (path) => {
  delete require.cache[require.resolve(path)]
  require(path)
}

/** Opens app.js as WeChat does, and returns the app. */
const openApp = (wx) => {
  let app
  Object.assign(globalThis, { wx, App: (options) => (app = options), getApp: () => app })
  load('../app.js')
  app.onLaunch()
  return app
}

/** Opens the app on its index page, and returns the page when it has loaded. */
const openPage = async (wx) => {
  openApp(wx)
  let page
  globalThis.Page = (options) => {
    page = { ...options, setData: (changes) => Object.assign(page.data, changes) }
  }
  load('../pages/index/index.js')
  await page.onLoad()
  return page
}

before(async () => {
  config.baseUrl = DEMO
  await fetch(DEMO).catch(() => {
    throw new Error(`No demo at ${DEMO}: start one with \`make demo\`, or name it in WXLOGIN_URL`)
  })
})

afterEach(() => {
  for (const name of ['wx', 'App', 'getApp', 'Page']) delete globalThis[name]
})

test('the first request logs in through the sandbox', async () => {
  const { wx, login } = setUp()

  const me = await login.request(ME)

  assert.ok(me.id)
  assert.equal(me.accounts[0].appid, config.appid)
  assert.equal(wx.getStorageSync('token'), await login.token())
  assert.equal(wx.count(LOGIN), 1)
})

test('a stored token is kept', async () => {
  const { wx, login } = setUp()
  const token = await login.token()
  const relaunched = createLogin({ ...config, baseUrl: DEMO }, wx)

  assert.equal(await relaunched.token(), token)
  assert.equal(wx.count(LOGIN), 1)
})

test('requests at the same time share the first login', async () => {
  const { wx, login } = setUp()

  await Promise.all([login.token(), login.request(ME), login.request(ME)])

  assert.equal(wx.count(LOGIN), 1)
})

test('a session ended elsewhere costs one login, however many requests notice', async () => {
  const { wx, login } = setUp()
  const me = await login.request(ME)
  const ended = await login.token()
  await endBehindItsBack(ended)

  const answers = await Promise.all(Array.from({ length: 6 }, () => login.request(ME)))

  assert.deepEqual(new Set(answers.map(({ id }) => id)), new Set([me.id]))
  assert.equal(wx.count(LOGIN), 2)
  assert.notEqual(await login.token(), ended)
})

test('a 401 that comes after another request has logged in costs no login', async () => {
  let release
  const gate = new Promise((resolve) => (release = resolve))
  const { wx, login } = setUp({ onRequest: ({ url }) => url.endsWith('?late') && gate })
  await endBehindItsBack(await login.token())

  const late = login.request({ url: '/v1/me?late' })
  await login.request(ME)
  release()

  assert.ok((await late).id)
  assert.equal(wx.count(LOGIN), 2)
})

test('a 401 after the fresh login is reported, not looped', async () => {
  const { wx, login } = setUp({
    onRequest: async ({ url, header }) => {
      if (url.endsWith('/v1/me')) delete header.Authorization
    },
  })
  await login.token()

  await assert.rejects(login.request(ME), { code: 'token_missing', status: 401, retry: 'new_code' })
  assert.equal(wx.count(LOGIN), 2)
  assert.equal(wx.count('GET /v1/me'), 2)
})

test('a refused code is replaced once', async () => {
  const codes = [badCode, sandboxCode]
  const { wx, login } = setUp({ code: () => codes.shift()() }, { sandbox: false })

  assert.ok((await login.request(ME)).id)
  assert.equal(wx.count('wx.login'), 2)
  assert.equal(wx.count(LOGIN), 2)
})

test('a code refused twice is an error, and the next call tries anew', async () => {
  const codes = [badCode, badCode, sandboxCode]
  const { wx, login } = setUp({ code: () => codes.shift()() }, { sandbox: false })

  await assert.rejects(login.request(ME), { code: 'code_invalid', status: 2, message: '无效的code' })
  assert.equal(wx.getStorageSync('token'), '')
  assert.ok((await login.request(ME)).id)
  assert.equal(wx.count('wx.login'), 3)
})

test('a missing code is the error the service makes of it', async () => {
  const { wx, login } = setUp({ onRequest: async ({ data }) => delete data.code })

  await assert.rejects(login.login(), { code: 'code_missing', status: 1, message: '缺少参数' })
  assert.equal(wx.count(LOGIN), 1)
})

test('any other refusal of a login is an error, without another try', async () => {
  const { wx, login } = setUp({ code: async () => 'no code has spaces' }, { sandbox: false })

  await assert.rejects(login.login(), { status: 3, statusCode: 400 })
  assert.equal(wx.count(LOGIN), 1)
})

for (const [errcode, statusCode] of [[45011, 429], [-1, 503]]) {
  test(`a login that is answered ${statusCode} is an error that says later, without another try`, async () => {
    const { wx, login } = setUp()
    await letWeChatFail(errcode)

    await assert.rejects(login.request(ME), { code: 'login_failed', status: 3, statusCode, retry: 'later' })
    assert.equal(wx.count(LOGIN), 1)
    assert.ok((await login.request(ME)).id)
  })
}

test('a service without a sandbox is an error that says what to do', async () => {
  const { login } = setUp({
    onRequest: async (options) => (options.url = options.url.replace('/sandbox/', '/no-sandbox/')),
  })

  await assert.rejects(login.login(), { code: 'sandbox_unavailable', message: /sandbox: false/ })
})

test('no network is an error, and the next call tries anew', async () => {
  let online = false
  const { login } = setUp({
    onRequest: async () => {
      if (!online) throw new Error('net::ERR_CONNECTION_REFUSED')
    },
  })

  await assert.rejects(login.request(ME), { code: 'network', status: 0 })
  online = true
  assert.ok((await login.request(ME)).id)
})

test('a failing wx.login is an error', async () => {
  const fail = async () => {
    throw new Error('the user has no network')
  }
  const { wx, login } = setUp({ code: fail }, { sandbox: false })

  await assert.rejects(login.login(), { code: 'wx_login_failed', status: 0 })
  assert.equal(wx.count(LOGIN), 0)
})

test('an error of the service carries its code', async () => {
  const { login } = setUp()
  const { id } = await setUp().login.request({ url: '/v1/sessions/current' })

  await assert.rejects(login.request({ url: `/v1/sessions/${id}`, method: 'DELETE' }), {
    code: 'not_found',
    status: 404,
    retry: 'never',
  })
})

test('every call has a time limit', async () => {
  const { wx, login } = setUp({ code: sandboxCode }, { sandbox: false })

  await login.request(ME)
  await login.logout()

  assert.equal(wx.calls.length, 4)
  assert.ok(wx.calls.every(({ timeout }) => timeout > 0))
})

test('logout ends the session and forgets the token', async () => {
  const { wx, login } = setUp()
  const token = await login.token()

  await login.logout()

  assert.equal((await asUser(token, 'GET', '/v1/me')).status, 401)
  assert.equal(wx.getStorageSync('token'), '')
})

test('logout of a session that is over already is no error', async () => {
  const { wx, login } = setUp()
  await endBehindItsBack(await login.token())

  await login.logout()

  assert.equal(wx.getStorageSync('token'), '')
  assert.equal(wx.count(LOGIN), 1)
})

test('logout during a login ends that one too', async () => {
  const { wx, login } = setUp()

  const [token] = await Promise.all([login.token(), login.logout()])

  assert.equal((await asUser(token, 'GET', '/v1/me')).status, 401)
  assert.equal(wx.getStorageSync('token'), '')
})

test('a request that logout overtakes does not log the user in again', async () => {
  let release
  const gate = new Promise((resolve) => (release = resolve))
  const { wx, login } = setUp({ onRequest: ({ url }) => url.endsWith('/v1/me') && gate })
  await login.token()

  const overtaken = assert.rejects(login.request(ME), { code: 'session_ended', status: 401 })
  await login.logout()
  release()
  await overtaken

  assert.equal(wx.count(LOGIN), 1)
})

test('app.js logs in on launch', async () => {
  const wx = createWx()
  const app = openApp(wx)

  const token = await app.wxlogin.token()

  assert.equal((await asUser(token, 'GET', '/v1/me')).status, 200)
  assert.equal(wx.count(LOGIN), 1)
})

test('the page shows the user and the devices, of which another can be ended', async () => {
  const wx = createWx()
  const page = await openPage(wx)

  assert.equal(page.data.error, '')
  assert.ok(page.data.user.id)
  assert.equal(wx.count(LOGIN), 1)

  await page.relogin()
  const [current, other] = page.data.devices
  assert.deepEqual([current.current, other.current], [true, false])
  assert.match(current.detail, /登录于 \d{4}-\d\d-\d\d \d\d:\d\d$/)

  await page.endDevice({ currentTarget: { dataset: { id: other.id } } })
  assert.ok(page.data.devices.every(({ id }) => id !== other.id))

  await page.logout()
  assert.deepEqual(page.data, { user: null, devices: [], busy: false, error: '' })
})

test('the page changes the name', async () => {
  const page = await openPage(createWx({ modal: { confirm: true, content: ' 小明 ' } }))

  await page.rename()

  assert.equal(page.data.error, '')
  assert.equal(page.data.user.name, '小明')
})

test('the page says so where the service cannot be reached', async () => {
  const onRequest = async () => {
    throw new Error('net::ERR_CONNECTION_REFUSED')
  }
  const page = await openPage(createWx({ onRequest }))

  assert.match(page.data.error, /make demo/)
  assert.equal(page.data.busy, false)
})

test("the article's own client works unchanged", async () => {
  const wx = createWx({ code: sandboxCode })

  await new Promise((resolve) => {
    const that = { globalData: { baseurl: `${DEMO}/` } }
    wx.login({
      success: (res) => {
        wx.request({
          url: that.globalData.baseurl + 'login/',
          data: { code: res.code },
          method: 'POST',
          success(res) {
            wx.setStorageSync('token', res.data.data.token)
            resolve()
          },
        })
      },
    })
  })

  assert.equal((await asUser(wx.getStorageSync('token'), 'GET', '/v1/me')).status, 200)
})
