const config = require('../../config')
const run = require('../../utils/page')

const { client, wechat } = getApp()

const toUser = ({ id, name, avatar, phone }) => ({ id, name, avatar, phone, initial: [...(name || '微')][0] })

Page({
  data: { user: null, steps: null, hint: '', busy: false, error: '' },

  onLoad() {
    return run(this, () => this.refresh())
  },

  retry() {
    return this.onLoad()
  },

  async refresh() {
    this.setData({ user: toUser(await client.me()) })
  },

  async change(data) {
    this.setData({ user: toUser(await client.request({ url: '/v1/me', method: 'PUT', data })) })
  },

  saveName({ detail }) {
    const name = detail.value.name.trim()
    if (!name) return
    return run(this, () => this.change({ name }))
  },

  chooseAvatar({ detail }) {
    return run(this, async () => {
      // A temporary file: only an upload makes it an address that other devices can load.
      const filePath = detail.avatarUrl
      if (!config.uploadPath) {
        this.setData({ 'user.avatar': filePath, hint: '演示服务没有文件存储，头像只在这里显示' })
        return
      }
      const { url } = await client.upload({ url: config.uploadPath, filePath, name: 'file' })
      await this.change({ avatar: url })
    })
  },

  bindPhone({ detail }) {
    return run(this, async () => {
      const code = await wechat.phoneCode(detail)
      if (code) this.setData({ user: toUser(await client.bindPhone(code)) }) // none: the user declined
    })
  },

  async readSteps() {
    if (!(await this.mayUseData())) return
    await run(this, async () => {
      const { encryptedData, iv } = await wechat.weRunData()
      const data = { encryptedData, iv }
      const { stepInfoList } = await client.request({ url: '/v1/wechat/decrypt', method: 'POST', data })
      this.setData({ steps: stepInfoList[stepInfoList.length - 1].step })
    })
  },

  /** Asks for the user's consent, by the popup, unless they have given it. */
  async mayUseData() {
    if (!wx.requirePrivacyAuthorize) return true
    return new Promise((resolve) =>
      wx.requirePrivacyAuthorize({ success: () => resolve(true), fail: () => resolve(false) }),
    )
  },

  showDevices() {
    wx.navigateTo({ url: '/pages/devices/devices' })
  },

  logout() {
    return run(this, async () => {
      try {
        await client.logout()
      } finally {
        wx.reLaunch({ url: '/pages/login/login' })
      }
    })
  },
})
