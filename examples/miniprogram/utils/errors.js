const MESSAGES = {
  network_unavailable: '连接不上服务，请检查网络；演示时请确认 make demo 正在运行',
  timeout: '服务没有及时响应，请稍后再试',
  wx_login_failed: '微信登录没有成功，请稍后再试',
  sandbox_unavailable: '这个服务没有沙箱：请运行 make demo，或在 config.js 中把 sandbox 改为 false',
  user_blocked: '账号已被禁用，如有疑问请联系客服',
  user_blocked_by_wechat: '账号已被微信限制登录，可以向微信申诉',
}

/** Whether the user has to log in by pressing a button: app.js shows that page. */
const isLoggedOut = ({ code }) => ['logged_out', 'session_ended', 'session_replaced'].includes(code)

/** The text for the user. */
const explain = (error) => {
  if (MESSAGES[error.code]) return MESSAGES[error.code]
  if (error.code === 'rate_limited' && error.retryAfter) return `操作太频繁，请 ${error.retryAfter} 秒后再试`
  if (error.retry === 'later') return '服务繁忙，请稍后再试'
  return `操作没有成功（${error.code || error.message}）`
}

/** For developers: what the operator needs to find this error in the log of the service. */
const report = ({ code, message, errcode, rid, requestId }) => console.warn(code, message, { errcode, rid, requestId })

module.exports = { explain, isLoggedOut, report }
