import { failureOf } from './error'

/** The methods of wx.request(). PATCH is not one of them. */
export type Method = 'OPTIONS' | 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | 'TRACE' | 'CONNECT'

export interface Call {
  url: string
  header?: Record<string, string>
  /** Milliseconds. By default the platform's. */
  timeout?: number
}

export interface RequestOptions extends Call {
  method?: Method
  data?: string | object | ArrayBuffer
  dataType?: string
  responseType?: 'text' | 'arraybuffer'
}

export interface UploadOptions extends Call {
  filePath: string
  name: string
  formData?: Record<string, unknown>
}

export interface Response {
  statusCode: number
  data: unknown
  header?: Record<string, unknown>
}

/** What the client needs of a platform. Rejections are a WxLoginError. */
export interface Adapter {
  /** Return a new code of wx.login(). */
  code(): Promise<string>
  request(options: RequestOptions): Promise<Response>
  upload(options: UploadOptions): Promise<Response>
  load(key: string): unknown
  save(key: string, value: unknown): void
}

/** What the adapters use of `wx`, `uni` and `Taro`, whose own types differ in each of these options. */
export interface Platform {
  login(options: any): unknown
  request(options: any): unknown
  uploadFile(options: any): unknown
  getStorageSync(key: string): unknown
  setStorageSync(key: string, value: any): void
}

type Asynchronous = 'login' | 'request' | 'uploadFile'
type Caller = (platform: Platform, name: Asynchronous, options: object) => Promise<any>

const LOGIN_TIMEOUT = 10000

// The result of wx and uni depends on their version. Their callbacks do not.
const byCallbacks: Caller = (platform, name, options) =>
  new Promise((success, fail) => platform[name](Object.assign({}, options, { success, fail })))

// Taro's callbacks see the response before its interceptors do.
const byPromise: Caller = async (platform, name, options) => platform[name](options)

function adapterOf(platform: Platform, call: Caller): Adapter {
  const send = (name: Asynchronous, options: object) =>
    call(platform, name, options).catch((reason) => {
      throw failureOf('network_unavailable', 'timeout', reason)
    })
  return {
    async code() {
      try {
        const { code, errMsg } = await call(platform, 'login', { provider: 'weixin', timeout: LOGIN_TIMEOUT })
        if (code) return code
        throw { errMsg }
      } catch (reason) {
        throw failureOf('wx_login_failed', 'wx_login_failed', reason)
      }
    },
    request: (options) => send('request', options),
    upload: (options) => send('uploadFile', options),
    load: (key) => platform.getStorageSync(key),
    save: (key, value) => platform.setStorageSync(key, value),
  }
}

declare const wx: Platform

/** The adapter of a mini-program. Its default is the global `wx`. */
export const wxAdapter = (platform: Platform = wx): Adapter => adapterOf(platform, byCallbacks)

/** The adapter of uni-app: `uniAdapter(uni)`. */
export const uniAdapter = (platform: Platform): Adapter => adapterOf(platform, byCallbacks)

/** The adapter of Taro: `taroAdapter(Taro)`. */
export const taroAdapter = (platform: Platform): Adapter => adapterOf(platform, byPromise)
