import { type Adapter, type Call, type RequestOptions, type Response, type UploadOptions, wxAdapter } from './adapters'
import { errorOf, WxLoginError } from './error'

export interface ClientOptions {
  /** The address of the service, or of the gateway before it and your backends: https://api.example.com */
  baseUrl: string
  /** The appid of this mini-program. Needed only where the service has several and no Referer tells which. */
  appid?: string
  adapter?: Adapter
}

/** A session, as /v1/sessions returns it. Times are RFC 3339. */
export interface Session {
  id: string
  current: boolean
  created_at: string
  last_seen_at: string
  idle_expires_at: string
  expires_at: string
  user_agent: string | null
  ip: string | null
  device: string | null
}

export interface SessionList {
  /** The newest first. */
  sessions: Session[]
}

export interface Login {
  session: Session
  user: { id: string; is_new: boolean; name: string; avatar: string }
}

/** The profile of the user, as /v1/me returns it. */
export interface Profile {
  id: string
  name: string
  avatar: string
  language: string
  province: string
  city: string
  country: string
  phone: string | null
  created_at: string
  updated_at: string
  accounts: { appid: string; openid: string }[]
  unionid: string | null
}

/** A website's request to log in, which the user decides on. */
export interface Scan {
  client: string
  user_agent: string | null
  ip: string | null
  created_at: string
  expires_at: string
  /** The user picks the number that the website shows. A wrong one refuses the login. */
  match_numbers: string[]
  approve(matchNumber?: string): Promise<void>
  deny(): Promise<void>
}

export interface Client {
  /** Log in with a new code. Calls at the same time share one login. */
  login(): Promise<Login>
  /** Return the token, after a login if there is none. Rejects after a log-out, until `login()` is called. */
  token(): Promise<string>
  /**
   * Send a request with the token, and return the body of the response: undefined for a 204. `url` is a path, or an
   * address of baseUrl's origin.
   */
  request<T = unknown>(options: RequestOptions): Promise<T>
  /** Upload a file with the token, and return the body of the response, parsed if it is JSON. */
  upload<T = unknown>(options: UploadOptions): Promise<T>
  /** End the session. The token is gone from this phone even when the service cannot be reached. */
  logout(): Promise<void>
  /** Return the profile of the user. */
  me(): Promise<Profile>
  /** Return the sessions of the user, one for each device. */
  sessions(): Promise<SessionList>
  /** Log the device of a session out. */
  endSession(id: string): Promise<void>
  /** Bind the phone number behind a code of the phone button. */
  bindPhone(code: string): Promise<Profile>
  /** Return the website's request behind a scanned code: `scene` is `options.scene` of the page. */
  scan(scene: string): Promise<Scan>
  /**
   * Call `listener` when the session ended elsewhere: once, and once after each start of the app until `login()`.
   * Returns a function that removes it.
   */
  onLoggedOut(listener: (error: WxLoginError) => void): () => void
}

/** What is stored on the phone: a token and when to replace it (by this phone's clock), or why there is none. */
type State = { token: string; until: number } | { over: string } | undefined
type Entry = { token: string; until: number; login: Login }

const EXPIRED = ['token_invalid', 'session_expired']
/** What a 401 says about the token, if it is wxlogin's. */
const DEAD = [...EXPIRED, 'session_ended', 'session_replaced']
/** Why there is no session after `logout()`. */
const LOGGED_OUT = 'logged_out'
// Longer than the service waits for WeChat (3 s by default): a response that is lost wastes the code.
const LOGIN_TIMEOUT = 10000

const isOk = ({ statusCode }: Response) => statusCode >= 200 && statusCode < 300
const originOf = (url: string) => (/^https?:\/\/[^/?#]+/i.exec(url) || [''])[0].toLowerCase()
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

declare function setTimeout(callback: (value?: unknown) => void, milliseconds: number): unknown

/** Return the login of this mini-program. An app needs one client. */
export function createClient({ baseUrl, appid, adapter = wxAdapter() }: ClientOptions): Client {
  if (!originOf(baseUrl)) throw new TypeError(`baseUrl must begin with https:// or http://: ${baseUrl}`)
  const base = baseUrl.replace(/\/+$/, '')
  const key = ['wxlogin', base, appid || ''].join(' ')
  const listeners = new Set<(error: WxLoginError) => void>()
  let state = stored()
  let entering: Promise<Entry> | undefined
  let reported = false
  let asked: { token: string; reason: Promise<WxLoginError | undefined> } | undefined

  function stored(): State {
    const found = Object(adapter.load(key)) as { token?: unknown; over?: unknown }
    return found.token || found.over ? (found as State) : undefined
  }

  function keep(next: State) {
    state = next
    try {
      adapter.save(key, next)
    } catch {
      // The phone's storage is full. The token lives as long as the app does.
    }
  }

  const over = () => (state && 'over' in state && !entering ? state.over : undefined)
  const heldToken = () => (state && 'token' in state ? state.token : undefined)

  /** Return the address. The token goes to no other origin. */
  function addressOf(url: string) {
    if (url.startsWith('/')) return base + url
    if (originOf(url) && originOf(url) === originOf(base)) return url
    const text = `The token is for ${originOf(base)} only: url must begin with / or with this origin`
    throw new WxLoginError('url_not_allowed', text, { retry: 'never' })
  }

  function withToken<T extends Call>(call: T, token: string | undefined): T {
    const header: Record<string, string> = {}
    for (const [name, value] of Object.entries(call.header || {})) {
      if (name.toLowerCase() !== 'authorization') header[name] = value
    }
    if (token) header.Authorization = `Bearer ${token}`
    return { ...call, url: addressOf(call.url), header }
  }

  async function exchange(): Promise<Entry> {
    const data = { code: await adapter.code(), ...(appid && { appid }) }
    const call = { url: '/v1/sessions', method: 'POST', data, timeout: LOGIN_TIMEOUT } as const
    // The service ends the session of the old token: the list of devices shows this phone once.
    const response = await adapter.request(withToken(call, heldToken()))
    if (!isOk(response)) throw errorOf(response)
    const { token, session, user } = Object(response.data) as Login & { token?: unknown }
    if (typeof token !== 'string') {
      throw new WxLoginError('response_invalid', 'baseUrl is not the address of wxlogin', { retry: 'later' })
    }
    // A length, and no time of day: the clock of a phone may be wrong.
    const seconds = Date.parse(session.expires_at) - Date.parse(session.created_at)
    return { token, until: Date.now() + (seconds || Infinity), login: { session, user } }
  }

  /** Log in, and after an error that asks for a new code once more. */
  async function enter(): Promise<Entry> {
    try {
      return await exchange()
    } catch (error) {
      const { retry, statusCode = 0 } = error as WxLoginError
      if (retry !== 'new_code') throw error
      if (statusCode >= 500) await pause(1000 + 1000 * Math.random())
      return exchange()
    }
  }

  function entry(): Promise<Entry> {
    if (entering) return entering
    const mine: Promise<Entry> = enter().then(
      (next) => {
        // A log-out meanwhile ends this session, too.
        if (entering === mine) {
          entering = undefined
          reported = false
          keep({ token: next.token, until: next.until })
        }
        return next
      },
      (error) => {
        if (entering === mine) entering = undefined
        throw error
      },
    )
    return (entering = mine)
  }

  async function token(): Promise<string> {
    const reason = over()
    if (reason) {
      const details = reason === LOGGED_OUT ? ({ retry: 'never' } as const) : ({ retry: 'new_code', statusCode: 401 } as const)
      const error = new WxLoginError(reason, 'The user is logged out; login() logs in', details)
      report(error)
      throw error
    }
    if (!entering && state && 'token' in state && Date.now() < state.until) return state.token
    return (await entry()).token
  }

  /** Call the listeners, once between two logins or starts of the app. */
  function report(error: WxLoginError) {
    if (reported || error.code === LOGGED_OUT) return
    reported = true
    listeners.forEach((listener) => void Promise.resolve(error).then(listener))
  }

  /** Note that the service refuses this token, unless the client has another one by now or soon. */
  function lose(used: string, error: WxLoginError) {
    if (entering || heldToken() !== used) return
    if (EXPIRED.includes(error.code)) return keep({ token: used, until: 0 })
    keep({ over: error.code })
    report(error)
  }

  /**
   * Return the error with which wxlogin refuses this token, or undefined if the session is live. All who wait share one
   * request. A dead token stays dead: who comes later gets the same answer.
   */
  function reasonOf(token: string): Promise<WxLoginError | undefined> {
    if (asked && asked.token === token) return asked.reason
    const call = withToken({ url: '/v1/sessions/current', timeout: LOGIN_TIMEOUT }, token)
    const reason = adapter.request(call).then((response) => (isOk(response) ? undefined : errorOf(response)))
    const mine = (asked = { token, reason })
    const forget = (error?: WxLoginError) => {
      if (asked === mine && !(error && DEAD.includes(error.code))) asked = undefined
    }
    reason.then(forget, () => forget())
    return reason
  }

  /** Send a call with the token. If the session has expired, log in and send it once more. */
  async function send(call: (token: string) => Promise<Response>): Promise<unknown> {
    for (let repeated = false; ; repeated = true) {
      const used = await token()
      const response = await call(used)
      if (isOk(response)) return response.statusCode === 204 ? undefined : response.data
      let error = errorOf(response)
      if (response.statusCode !== 401 || error.code === 'token_missing') throw error
      // A backend that introspects does not know why the token is refused.
      if (!DEAD.includes(error.code)) error = (await reasonOf(used)) || error
      if (!DEAD.includes(error.code)) throw error
      lose(used, error)
      if (over() !== LOGGED_OUT && (repeated || over())) throw error
    }
  }

  async function request<T = unknown>(options: RequestOptions): Promise<T> {
    addressOf(options.url)
    return send((used) => adapter.request(withToken(options, used))) as Promise<T>
  }

  return {
    login: async () => (await entry()).login,
    token,
    request,

    async upload<T = unknown>(options: UploadOptions): Promise<T> {
      addressOf(options.url)
      return send(async (used) => {
        const response = await adapter.upload(withToken(options, used))
        return { ...response, data: parsed(response.data) }
      }) as Promise<T>
    },

    async logout() {
      const under = entering
      const held = heldToken()
      entering = undefined
      keep({ over: LOGGED_OUT })
      const last = under ? await under.then((next) => next.token, () => held) : held
      if (!last) return
      const call = { url: '/v1/sessions/current', method: 'DELETE', timeout: LOGIN_TIMEOUT } as const
      const response = await adapter.request(withToken(call, last))
      if (!isOk(response) && response.statusCode !== 401) throw errorOf(response)
    },

    me: () => request<Profile>({ url: '/v1/me' }),
    sessions: () => request<SessionList>({ url: '/v1/sessions' }),
    endSession: (id) => request<void>({ url: `/v1/sessions/${encodeURIComponent(id)}`, method: 'DELETE' }),
    bindPhone: (code) => request<Profile>({ url: '/v1/me/phone', method: 'PUT', data: { code } }),

    async scan(scene) {
      const url = `/v1/scans/${encodeURIComponent(scene)}`
      const decide = async (data: object) => void (await request({ url, method: 'POST', data }))
      return {
        ...(await request<Scan>({ url })),
        approve: (matchNumber) => decide({ approve: true, ...(matchNumber && { match_number: matchNumber }) }),
        deny: () => decide({ approve: false }),
      }
    },

    onLoggedOut(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

/** Return the value of a JSON text, or the text: wx.uploadFile() does not parse. */
function parsed(data: unknown): unknown {
  try {
    return JSON.parse(data as string)
  } catch {
    return data
  }
}
