// The demo that the tests run against: `make demo`, or that at WXLOGIN_URL.
const assert = require('node:assert/strict')

const DEMO = (process.env.WXLOGIN_URL || 'http://127.0.0.1:8000').replace(/\/+$/, '')
const APPID = 'wxdemo0123456789ab'

const tellSandbox = async (path, data) => {
  const response = await fetch(`${DEMO}/sandbox/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(data),
  })
  assert.equal(response.status, 201)
  return response.json()
}

/** Returns the wx.login() of a new user's phone: always of the same user. */
const newUser = () => {
  let openid
  return async () => {
    const issued = await tellSandbox('codes', { appid: APPID, openid })
    openid = issued.openid
    return issued.code
  }
}

const phoneCode = async (phone) => (await tellSandbox('phone-codes', { appid: APPID, phone })).code

const letWeChatFail = (errcode, times = 1) => tellSandbox('faults', { path: '/sns/jscode2session', errcode, times })

const asUser = (token, method, path) => fetch(DEMO + path, { method, headers: { Authorization: `Bearer ${token}` } })

/** Logs the device out, as the user does on another one. */
const endElsewhere = async (token) =>
  assert.equal((await asUser(token, 'DELETE', '/v1/sessions/current')).status, 204)

module.exports = { DEMO, APPID, tellSandbox, newUser, phoneCode, letWeChatFail, asUser, endElsewhere }
