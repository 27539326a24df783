// An Express backend that verifies wxlogin's JWTs by itself. Run it with `node jwt.js`.
import express from 'express'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const { JWT_JWKS_URL, JWT_ISSUER, JWT_AUDIENCE } = process.env
const keys = createRemoteJWKSet(new URL(JWT_JWKS_URL), { cacheMaxAge: 300_000, timeoutDuration: 2000 })
const expected = { issuer: JWT_ISSUER, audience: JWT_AUDIENCE, algorithms: ['ES256'], typ: 'at+jwt' }

async function authenticate(req, res, next) {
  const token = /^Bearer +(\S+)$/i.exec(req.get('Authorization') ?? '')?.[1]
  if (!token) return res.status(401).set('WWW-Authenticate', 'Bearer').end()
  try {
    req.caller = (await jwtVerify(token, keys, expected)).payload
  } catch (error) {
    const isRefused = /^ERR_(JW[ST]_|JOSE_ALG|JOSE_NOT|JWKS_NO)/.test(error.code) // else there are no keys
    if (!isRefused) return res.status(503).set('Retry-After', '1').end()
    return res.status(401).set('WWW-Authenticate', 'Bearer error="invalid_token"').end()
  }
  next()
}

const app = express()
app.use(authenticate)
app.get('/orders', ({ caller }, res) => {
  res.json({ user_id: caller.sub, appid: caller.client_id })
})
app.listen(Number(process.env.PORT ?? 9000), '127.0.0.1')
