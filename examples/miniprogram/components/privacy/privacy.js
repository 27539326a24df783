const AGREE = 'privacy-agree'

// WeChat asks before the first call or button that needs the user's data. What waits for the answer is in `pending`.
Component({
  data: { open: false, agreeId: AGREE },

  // The listener that was set last is the one that is called: that of the page in front.
  lifetimes: {
    attached() {
      this.listen()
    },
    detached() {
      this.answer({ event: 'disagree' })
    },
  },

  pageLifetimes: {
    show() {
      this.listen()
    },
  },

  methods: {
    listen() {
      this.pending = this.pending || []
      if (!wx.onNeedPrivacyAuthorization) return
      wx.onNeedPrivacyAuthorization((resolve) => {
        this.pending.push(resolve)
        resolve({ event: 'exposureAuthorization' })
        this.setData({ open: true })
      })
    },

    read() {
      wx.openPrivacyContract({})
    },

    agree() {
      this.answer({ event: 'agree', buttonId: AGREE })
    },

    refuse() {
      this.answer({ event: 'disagree' })
    },

    answer(decision) {
      const waiting = this.pending.splice(0)
      this.setData({ open: false })
      waiting.forEach((resolve) => resolve(decision))
    },
  },
})
