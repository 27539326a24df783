import type { Response } from './adapters'

/** What the caller may do: get a new code, repeat the request after `retryAfter` seconds, or neither. */
export type Retry = 'new_code' | 'later' | 'never'

export interface Details {
  retry: Retry
  /** The seconds of the header Retry-After. */
  retryAfter?: number
  /** The HTTP status; missing when no response arrived. */
  statusCode?: number
  /** WeChat's error code. */
  errcode?: number
  /** The id that WeChat gave its response. */
  rid?: string
  /** The header X-Request-Id, which is also in the log of the service. */
  requestId?: string
}

/** Every rejection of the client. `code` is for programs; the text is for developers. Neither has a token or a code. */
export class WxLoginError extends Error implements Details {
  override readonly name = 'WxLoginError'
  readonly retry!: Retry
  readonly retryAfter?: number
  readonly statusCode?: number
  readonly errcode?: number
  readonly rid?: string
  readonly requestId?: string
  /** The body of the response. JSON.stringify() leaves it out. */
  readonly data?: unknown

  constructor(
    readonly code: string,
    message: string,
    details: Details,
    data?: unknown,
  ) {
    super(message)
    Object.assign(this, details)
    Object.defineProperty(this, 'data', { value: data, enumerable: false })
  }
}

/** Return the error of a call to the platform that failed without a response. `late` is its code after a timeout. */
export function failureOf(code: string, late: string, reason: unknown): WxLoginError {
  const { errMsg, message } = Object(reason) as { errMsg?: unknown; message?: unknown }
  const text = String(errMsg || message || code)
  return new WxLoginError(/timeout|timed out/i.test(text) ? late : code, text, { retry: 'later' })
}

/** Return the error of a response that is not 2xx. */
export function errorOf({ statusCode, data, header }: Response): WxLoginError {
  const problem = Object(data) as Record<string, unknown>
  // Behind a gateway the body may be the gateway's own. The code is in this header, too.
  const [, challenge] = /error_description="(\w+)"/.exec(fieldOf(header, 'www-authenticate') || '') || []
  const seconds = parseInt(fieldOf(header, 'retry-after') || '', 10)
  const later = seconds >= 0 || [429, 502, 503, 504].includes(statusCode)
  const details = {
    retry: problem.retry || (later ? 'later' : 'never'),
    retryAfter: seconds >= 0 ? seconds : undefined,
    statusCode,
    errcode: problem.errcode,
    rid: problem.rid,
    requestId: fieldOf(header, 'x-request-id'),
  } as Details
  const code = challenge || (typeof problem.code === 'string' && problem.code) || `http_${statusCode}`
  const text = problem.detail || problem.title || `HTTP ${statusCode}`
  return new WxLoginError(code, String(text), details, data)
}

function fieldOf(header: Response['header'], name: string): string | undefined {
  const found = Object.keys(header || {}).find((each) => each.toLowerCase() === name)
  return found && String(header![found])
}
