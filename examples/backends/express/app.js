// An Express backend that asks wxlogin who is calling. Run it with `npm start`.
import { createHash } from 'node:crypto'
import express from 'express'
import { LRUCache } from 'lru-cache'

const { OAUTH_INTROSPECTION_URL, OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET } = process.env
const CACHE_SECONDS = Number(process.env.OAUTH_CACHE_SECONDS ?? 30) // how late a log-out may be seen
const CREDENTIALS = Buffer.from(`${OAUTH_CLIENT_ID}:${OAUTH_CLIENT_SECRET}`).toString('base64')

const cache = new LRUCache({ max: 10_000 })

/** Returns what wxlogin says about the token: sub is the user's id, client_id the appid. */
async function introspect(token) {
  const answer = await fetch(OAUTH_INTROSPECTION_URL, {
    method: 'POST',
    headers: { Authorization: `Basic ${CREDENTIALS}` },
    body: new URLSearchParams({ token }),
    signal: AbortSignal.timeout(2000),
  })
  if (!answer.ok) throw new Error(`status ${answer.status}`)
  return answer.json()
}

async function authenticate(req, res, next) {
  const token = /^Bearer +(\S+)$/i.exec(req.get('Authorization') ?? '')?.[1]
  if (!token) return res.status(401).set('WWW-Authenticate', 'Bearer').end()
  const key = createHash('sha256').update(token).digest('base64')
  req.caller = cache.get(key)
  if (req.caller) return next()
  try {
    req.caller = await introspect(token)
  } catch (error) {
    console.warn('wxlogin did not answer:', error.message)
    return res.status(503).set('Retry-After', '1').end()
  }
  if (!req.caller.active) return res.status(401).set('WWW-Authenticate', 'Bearer error="invalid_token"').end()
  const ttl = Math.min(CACHE_SECONDS * 1000, req.caller.exp * 1000 - Date.now())
  if (ttl > 0) cache.set(key, req.caller, { ttl })
  next()
}

const app = express()
app.use(authenticate)
app.get('/orders', ({ caller }, res) => {
  res.json({ user_id: caller.sub, openid: caller.openid, appid: caller.client_id })
})
app.listen(Number(process.env.PORT ?? 9000), '127.0.0.1')
