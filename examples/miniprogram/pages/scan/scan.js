const run = require('../../utils/page')
const localTime = require('../../utils/time')

const { client } = getApp()

const OVER = '二维码已失效，请在网页上换一个码，重新扫码'
const SENT =
  '请打开微信“扫一扫”，用相机直接扫描网页上的码。从聊天或相册的图片、别人发的卡片或链接打开的码，不能用来登录：发给你的人可能想登录你的账号'
const DENIED = '已拒绝，网页没有登录'
const APPROVED = '已允许登录，请回到网页'
// The service does not tell a wrong number from the right one: the website does.
const PICKED = '已提交，请看网页：选对了数字，网页会在几秒内登录；选错了，登录会被拒绝'

/** Runs `work`. Returns the text that is shown in the end; that of a code that is over, or decided on by somebody else. */
const outcome = async (work, done) => {
  try {
    await work()
    return done
  } catch (error) {
    if (error.code === 'not_found') return OVER
    throw error
  }
}

// How WeChat opened the mini-program. The camera scanned a QR code (1011) or a mini-program code (1047). All other ways
// are refused, as strangers can send them: pictures by a long press (1012, 1048) or from the album (1013, 1049), cards in
// chats, and links: https://developers.weixin.qq.com/miniprogram/dev/reference/scene-list.html
const BY_CAMERA = [1011, 1047]

const toAsked = (scan) => ({
  client: scan.client,
  browser: scan.user_agent || '未知浏览器',
  ip: scan.ip || '未知',
  time: localTime(scan.created_at),
  numbers: scan.match_numbers,
})

// WeChat opens this page when a website's login code is scanned.
Page({
  data: { asked: null, picked: '', done: '', busy: false, error: '' },

  onLoad({ scene = '' }) {
    if (scene && !BY_CAMERA.includes(wx.getEnterOptionsSync().scene)) {
      this.setData({ done: SENT }) // before the look, which the website would learn of
      return undefined
    }
    return run(this, async () => {
      const look = async () => (this.scan = await client.scan(decodeURIComponent(scene)))
      const done = scene ? await outcome(look, '') : OVER
      this.setData({ asked: this.scan ? toAsked(this.scan) : null, done })
    })
  },

  pick({ currentTarget }) {
    this.setData({ picked: currentTarget.dataset.number })
  },

  approve() {
    const { picked } = this.data
    return this.decide(() => this.scan.approve(picked || undefined), picked ? PICKED : APPROVED)
  },

  deny() {
    return this.decide(() => this.scan.deny(), DENIED)
  },

  decide(decision, done) {
    return run(this, async () => {
      this.setData({ done: await outcome(decision, done), asked: null })
    })
  },
})
