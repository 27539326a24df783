// Needs the built client and a demo: README.md. WeChat is a fake over fetch; the requests really go to the demo.
const assert = require('node:assert/strict')
const { existsSync, readdirSync, readFileSync } = require('node:fs')
const { join } = require('node:path')
const { afterEach, test } = require('node:test')

const { asUser, DEMO, endElsewhere, letWeChatFail, newUser } = require('../../../clients/miniprogram/test/demo')
const { createWx } = require('../../../clients/miniprogram/test/fakes')
const config = require('../config')
const { createWeChat, loaded, openApp, openPage, ROOT, settled } = require('./phone')

const INDEX = 'pages/index/index'
const DEVICES = 'pages/devices/devices'
const SCAN = 'pages/scan/scan'
const LOGIN = 'pages/login/login'
const POPUP = 'components/privacy/privacy'

config.baseUrl = DEMO

const open = async (path, { query, ...options } = {}) => {
  const wx = createWeChat(options)
  const app = await openApp(wx)
  return { wx, app, page: await openPage(path, query) }
}

const offline = async () => {
  throw new Error('net::ERR_CONNECTION_REFUSED')
}

const onTap = (data) => ({ currentTarget: { dataset: data } })

afterEach(() => {
  config.sandbox = true
  config.uploadPath = ''
  for (const name of ['wx', 'App', 'getApp', 'Page', 'Component']) delete globalThis[name]
})

test('every page of app.json exists, and has each function that its template calls', () => {
  const { pages, usingComponents } = JSON.parse(readFileSync(join(ROOT, 'app.json')))
  Object.assign(globalThis, { wx: createWeChat(), getApp: () => ({}) })
  for (const path of [...pages, ...Object.values(usingComponents)]) {
    const instance = loaded(pages.includes(path) ? 'Page' : 'Component', path)
    const template = readFileSync(join(ROOT, `${path}.wxml`), 'utf8')
    const called = [...template.matchAll(/\bbind\w+="(\w+)"/g)].map(([, name]) => name)

    assert.deepEqual(called.filter((name) => typeof instance[name] !== 'function'), [])
    assert.ok(existsSync(join(ROOT, `${path}.json`)))
  }
  assert.deepEqual(pages.map((path) => path.split('/')[1]).sort(), readdirSync(join(ROOT, 'pages')).sort())
})

test('the launch logs in once, and the first page shows the user', async () => {
  const { wx, app, page } = await open(INDEX)

  assert.equal(page.data.error, '')
  assert.match(page.data.user.id, /^[\w-]{36}$/)
  assert.equal(wx.count('POST /v1/sessions'), 1)
  assert.equal(wx.count('POST /login/'), 0)
  assert.equal((await asUser(await app.client.token(), 'GET', '/v1/me')).status, 200)
})

test('without the sandbox the code is that of wx.login()', async () => {
  config.sandbox = false
  const { wx, page } = await open(INDEX, { code: newUser() })

  assert.match(page.data.user.id, /^[\w-]{36}$/)
  assert.equal(wx.count('login'), 1)
})

test('a service without a sandbox is an error that says what to do', async () => {
  const onRequest = async ({ url }) => (url.includes('/sandbox/') ? { statusCode: 404, data: '' } : undefined)
  const { page } = await open(INDEX, { onRequest })

  assert.match(page.data.error, /sandbox 改为 false/)
})

test('a service that cannot be reached is an error, and the button tries again', async () => {
  let network = offline
  const { wx, page } = await open(INDEX, { onRequest: (options) => network(options) })

  assert.match(page.data.error, /make demo/)
  assert.deepEqual([page.data.busy, page.data.user, wx.opened], [false, null, []])
  network = async () => {}
  await page.retry()
  assert.ok(page.data.user.id)
})

test('the nickname is saved', async () => {
  const { page } = await open(INDEX)

  await page.saveName({ detail: { value: { name: ' 小明 ' } } })

  assert.equal(page.data.user.name, '小明')
  assert.equal((await openPage(INDEX)).data.user.name, '小明')
})

test('an avatar is shown, and uploaded where there is a backend for it', async () => {
  const stored = { statusCode: 200, data: '{"url":"https://cdn.example.com/1.png"}' }
  const { page } = await open(INDEX, { onRequest: async ({ url }) => (url.endsWith('/files') ? stored : undefined) })

  await page.chooseAvatar({ detail: { avatarUrl: 'wxfile://tmp/1.png' } })
  assert.equal(page.data.user.avatar, 'wxfile://tmp/1.png')
  assert.equal((await openPage(INDEX)).data.user.avatar, '')

  config.uploadPath = '/files'
  await page.chooseAvatar({ detail: { avatarUrl: 'wxfile://tmp/1.png' } })
  assert.equal((await openPage(INDEX)).data.user.avatar, 'https://cdn.example.com/1.png')
})

test('the phone button binds the number', async () => {
  const { page } = await open(INDEX)

  await page.bindPhone({ detail: { errMsg: 'getPhoneNumber:ok' } })

  assert.match(page.data.user.phone, /^\+86\d{11}$/)
})

test('a user who declines the phone button sees no error', async () => {
  config.sandbox = false
  const { wx, page } = await open(INDEX, { code: newUser() })

  await page.bindPhone({ detail: { errMsg: 'getPhoneNumber:fail user deny' } })

  assert.equal(page.data.error, '')
  assert.equal(wx.count('PUT /v1/me/phone'), 0)
})

test('encrypted data is decrypted by the service', async () => {
  const { page } = await open(INDEX)

  await page.readSteps()

  assert.equal(page.data.error, '')
  assert.equal(page.data.steps, 6832)
})

test('without consent no data is read', async () => {
  const { wx, page } = await open(INDEX, { consent: false })

  await page.readSteps()

  assert.equal(page.data.steps, null)
  assert.equal(wx.count('POST /v1/wechat/decrypt'), 0)
})

test('the privacy popup asks once for all that wait, and hands on the answer', async () => {
  const wx = createWeChat()
  Object.assign(globalThis, { wx })
  const popup = loaded('Component', POPUP)
  popup.lifetimes.attached.call(popup)
  const heard = []

  wx.askForConsent((decision) => heard.push(decision))
  wx.askForConsent((decision) => heard.push(decision))
  assert.equal(popup.data.open, true)
  popup.read()
  popup.agree()

  const exposed = { event: 'exposureAuthorization' }
  const agreed = { event: 'agree', buttonId: popup.data.agreeId }
  assert.deepEqual(heard, [exposed, exposed, agreed, agreed])
  assert.deepEqual([popup.data.open, wx.opened], [false, ['privacy contract']])

  wx.askForConsent((decision) => heard.push(decision))
  popup.refuse()
  assert.deepEqual(heard.slice(4), [exposed, { event: 'disagree' }])
})

test('the devices are listed, and another one can be ended', async () => {
  const { wx, app } = await open(INDEX)
  const other = createWeChat({ storage: new Map([['sandbox-openid', wx.getStorageSync('sandbox-openid')]]) })
  const { client } = await openApp(other)
  const token = await client.token()
  Object.assign(globalThis, { wx, getApp: () => app })
  const page = await openPage(DEVICES)

  assert.deepEqual(page.data.devices.map(({ current }) => current), [false, true])
  assert.match(page.data.devices[0].detail, /登录于 \d{4}-\d\d-\d\d \d\d:\d\d$/)
  await page.end(onTap({ id: page.data.devices[0].id }))

  assert.equal(page.data.devices.length, 1)
  assert.equal((await asUser(token, 'GET', '/v1/me')).status, 401)
})

test('a device that is gone already is no error', async () => {
  const { page } = await open(DEVICES)

  await page.end(onTap({ id: '0'.repeat(32) }))

  assert.equal(page.data.error, '')
})

test('a user who was logged out elsewhere sees why, and logs in again by the button', async () => {
  const { wx, app, page } = await open(INDEX)
  await endElsewhere(await app.client.token())

  await page.retry()
  await settled()
  assert.deepEqual([page.data.error, wx.opened], ['', [`/${LOGIN}?code=session_ended`]])
  assert.equal(wx.count('POST /v1/sessions'), 1)

  const goodbye = await openPage(LOGIN, { code: 'session_ended' })
  assert.match(goodbye.data.reason, /已被下线/)
  await goodbye.login()
  assert.equal(wx.opened.at(-1), `/${INDEX}`)
  assert.ok((await openPage(INDEX)).data.user.id)
})

test('a user who was logged out elsewhere is still logged out when the app starts again', async () => {
  const { wx, app, page } = await open(INDEX)
  await endElsewhere(await app.client.token())
  await page.retry()

  const again = await open(INDEX, { storage: wx.storage })

  assert.deepEqual(again.wx.opened, [`/${LOGIN}?code=session_ended`])
  assert.deepEqual([again.page.data.error, again.page.data.user], ['', null])
  assert.equal(again.wx.count('POST /v1/sessions'), 0)
})

test('logging out ends the session and shows the login button', async () => {
  const { wx, app, page } = await open(INDEX)
  const token = await app.client.token()

  await page.logout()

  assert.deepEqual(wx.opened, [`/${LOGIN}`])
  assert.equal((await asUser(token, 'GET', '/v1/me')).status, 401)
  assert.equal((await openPage(LOGIN)).data.reason, '已退出登录。')
})

test('after logging out, the next start shows the login page, and does not speak of other devices', async () => {
  const { wx, page } = await open(INDEX)
  await page.logout()

  const again = await open(INDEX, { storage: wx.storage })

  assert.deepEqual(again.wx.opened, [`/${LOGIN}?code=logged_out`])
  assert.deepEqual([again.page.data.error, again.page.data.user], ['', null])
  assert.equal(again.wx.count('POST /v1/sessions'), 0)
  const start = await openPage(LOGIN, { code: 'logged_out' })
  assert.deepEqual([start.data.reason, start.data.button], ['登录后就能使用全部功能。', '登录'])
  await start.login()
  assert.equal(again.wx.opened.at(-1), `/${INDEX}`)
})

test('a login that fails says why', async () => {
  const { page } = await open(LOGIN)
  await letWeChatFail(40226)
  await page.login()
  assert.match(page.data.error, /已被微信限制登录/)

  await letWeChatFail(45011)
  await page.login()
  assert.match(page.data.error, /请 \d+ 秒后再试/)
})

// The fake answers in place of the service. Both sides together are tested with examples/website.
const scanning = ({ decisions = [], look = 200, decided = 204, numbers = ASKED.match_numbers } = {}) => {
  const bodies = { 200: { ...ASKED, match_numbers: numbers }, 204: '', 404: { code: 'not_found', retry: 'never' } }
  return async ({ method, url, data }) => {
    if (!url.endsWith('/v1/scans/8nX0c-_2QhWcT1vK3yLmPA')) return undefined
    if (method === 'POST') decisions.push(data)
    const statusCode = method === 'POST' ? decided : look
    return { statusCode, data: bodies[statusCode] }
  }
}

const ASKED = {
  client: '示例商城',
  user_agent: 'Chrome 140 · Windows',
  ip: '203.0.113.7',
  created_at: '2026-11-23T13:46:47Z',
  expires_at: '2026-11-23T13:48:47Z',
  match_numbers: ['17', '42', '83'],
}

const scan = ({ entered, ...options } = {}) =>
  open(SCAN, { entered, onRequest: scanning(options), query: { scene: '8nX0c-_2QhWcT1vK3yLmPA' } })

test('a scanned code shows who asks, and the picked number approves', async () => {
  const decisions = []
  const { page } = await scan({ decisions })

  const { client, browser, ip, numbers } = page.data.asked
  assert.deepEqual([client, browser, ip, numbers], ['示例商城', 'Chrome 140 · Windows', '203.0.113.7', ['17', '42', '83']])
  page.pick(onTap({ number: '42' }))
  await page.approve()

  assert.deepEqual(decisions, [{ approve: true, match_number: '42' }])
  assert.equal(page.data.asked, null)
  assert.match(page.data.done, /^已提交，请看网页/)
})

test('without numbers a scanned code is approved by the button alone', async () => {
  const decisions = []
  const { page } = await scan({ decisions, numbers: [] })

  await page.approve()

  assert.deepEqual(decisions, [{ approve: true }])
  assert.equal(page.data.done, '已允许登录，请回到网页')
})

test('a scanned code can be refused without a number', async () => {
  const decisions = []
  const { page } = await scan({ decisions })

  await page.deny()

  assert.deepEqual(decisions, [{ approve: false }])
  assert.match(page.data.done, /已拒绝/)
})

test('a scanned code that is over says so', async () => {
  const { page } = await scan({ look: 404 })

  assert.match(page.data.done, /已失效/)
  assert.equal(page.data.asked, null)
})

test('a scanned code that is over before the decision says so', async () => {
  const { page } = await scan({ decided: 404 })

  page.pick(onTap({ number: '42' }))
  await page.approve()

  assert.match(page.data.done, /已失效/)
  assert.deepEqual([page.data.asked, page.data.error], [null, ''])
})

test('a decision that does not reach the service can be sent again', async () => {
  let network = offline
  const answer = scanning()
  const onRequest = (options) => (options.url.includes('/v1/scans/') && options.method === 'POST' ? network() : undefined)
  const { page } = await open(SCAN, {
    onRequest: async (options) => (await onRequest(options)) ?? answer(options),
    query: { scene: '8nX0c-_2QhWcT1vK3yLmPA' },
  })

  await page.deny()
  assert.match(page.data.error, /连接不上/)
  assert.ok(page.data.asked)

  network = async () => undefined
  await page.deny()
  assert.match(page.data.done, /已拒绝/)
})

for (const entered of [1011, 1047]) {
  test(`a code that the camera scanned (${entered}) shows who asks`, async () => {
    const { page } = await scan({ entered })

    assert.equal(page.data.asked.client, '示例商城')
  })
}

const SENT = {
  1001: 'the list of mini-programs',
  1007: 'a card in a chat',
  1008: 'a card in a group',
  1012: 'a long press on a QR code',
  1013: 'a QR code from the album',
  1037: 'another mini-program',
  1048: 'a long press on a mini-program code',
  1049: 'a mini-program code from the album',
  1065: 'a URL scheme',
}

for (const [entered, what] of Object.entries(SENT)) {
  test(`a code that was opened by ${what} (${entered}) is refused before the service hears of it`, async () => {
    const { wx, page } = await scan({ entered: Number(entered) })

    assert.match(page.data.done, /^请打开微信“扫一扫”，用相机直接扫描网页上的码/)
    assert.deepEqual([page.data.asked, page.data.error, page.data.busy], [null, '', false])
    assert.equal(wx.calls.some(({ path }) => path.startsWith('/v1/scans')), false)
  })
}

test('the page without a scan says that there is no code', async () => {
  const { wx, page } = await open(SCAN)

  assert.match(page.data.done, /已失效/)
  assert.equal(wx.calls.some(({ path }) => path.startsWith('/v1/scans')), false)
})

test('both answers to a scanned code look alike', () => {
  const template = readFileSync(join(ROOT, `${SCAN}.wxml`), 'utf8')
  const buttons = [...template.matchAll(/<button class="choice"([^>]*)bindtap="(\w+)">/g)]

  assert.deepEqual(buttons.map(([, , name]) => name), ['deny', 'approve'])
  assert.ok(buttons.every(([, attributes]) => /^ disabled="[^"]*" $/.test(attributes)))
})

test("the article's own client works unchanged", async () => {
  const wx = createWx({ code: newUser() })

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
