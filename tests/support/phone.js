// A phone with the example mini-program: reads one command from each line, and answers with what its page shows then.
const { createInterface } = require('node:readline')

const ROOT = process.env.EXAMPLE
const config = require(`${ROOT}/config`)
const { createWeChat, openApp, openPage } = require(`${ROOT}/test/phone`)

const { WXLOGIN_URL, SANDBOX_URL, APPID } = process.env
Object.assign(config, { baseUrl: WXLOGIN_URL, sandbox: false })

let openid
const code = async () => {
  const response = await fetch(`${SANDBOX_URL}/sandbox/codes`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ appid: APPID, openid }),
  })
  const issued = await response.json()
  openid = issued.openid
  return issued.code
}

const wx = createWeChat({ code })
let page

const COMMANDS = {
  async open({ path, query, entered }) {
    wx.entered = entered
    await openApp(wx)
    page = await openPage(path, query)
  },
  async devices() {
    page = await openPage('pages/devices/devices')
  },
  end: ({ id }) => page.end({ currentTarget: { dataset: { id } } }),
  pick: ({ number }) => page.pick({ currentTarget: { dataset: { number } } }),
  approve: () => page.approve(),
  deny: () => page.deny(),
}

const main = async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...options } = JSON.parse(line)
    await COMMANDS[command](options)
    console.log(JSON.stringify(page.data))
  }
}

main()
