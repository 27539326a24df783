module.exports = {
  baseUrl: 'http://127.0.0.1:8000',

  // true: codes come from the WeChat sandbox of `make demo`. false: from wx.login(), for the real service.
  sandbox: true,

  // Only the sandbox is told: the real service knows its own mini-program.
  appid: 'wxdemo0123456789ab',
}
