module.exports = {
  baseUrl: 'http://127.0.0.1:8000',

  // true: the WeChat sandbox of `make demo` replaces WeChat. false: the codes and data are WeChat's, for the real service.
  sandbox: true,

  // Only the sandbox needs it: the real service knows its own mini-program.
  appid: 'wxdemo0123456789ab',

  // The path of your backend that stores a file and answers {"url"}. The demo has none.
  uploadPath: '',
}
