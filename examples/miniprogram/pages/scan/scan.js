const run = require('../../utils/page')
const localTime = require('../../utils/time')

const { client } = getApp()

const DONE = { approved: '已允许登录，请回到网页', denied: '已拒绝，网页没有登录' }

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
    return run(this, async () => {
      try {
        this.scan = await client.scan(decodeURIComponent(scene))
      } catch (error) {
        if (error.code !== 'not_found') throw error
        this.setData({ done: '二维码已失效，请在网页上刷新后重新扫码' })
        return
      }
      this.setData({ asked: toAsked(this.scan) })
    })
  },

  pick({ currentTarget }) {
    this.setData({ picked: currentTarget.dataset.number })
  },

  approve() {
    return this.decide(() => this.scan.approve(this.data.picked || undefined), DONE.approved)
  },

  deny() {
    return this.decide(() => this.scan.deny(), DONE.denied)
  },

  decide(decision, done) {
    return run(this, async () => {
      await decision()
      this.setData({ asked: null, done })
    })
  },
})
