// The check of /auth as a Node.js team would write it: `serve.js PORT REDIS_URL`. One session is one key.
import { hash } from 'node:crypto'
import Fastify from 'fastify'
import { Redis } from 'ioredis'

const [port, redisUrl] = process.argv.slice(2)
const redis = new Redis(redisUrl, { enableAutoPipelining: true })
const app = Fastify({ logger: false })

async function liveSession(authorization) {
  if (!authorization?.startsWith('Bearer ')) return null
  const id = hash('sha256', authorization.slice(7))
  const record = await redis.get(`session:${id}`)
  if (record === null) return null
  const session = JSON.parse(record)
  const now = Date.now()
  return now < session.idleExpiresAt && now < session.expiresAt ? session : null
}

app.get('/auth', async (request, reply) => {
  const session = await liveSession(request.headers.authorization)
  if (session === null) {
    return reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send()
  }
  return reply
    .code(204)
    .headers({
      'cache-control': 'no-store',
      'x-user-id': session.userId,
      'x-session-id': session.id,
      'x-wx-openid': session.openid,
      'x-wx-appid': session.appid,
    })
    .send()
})

await app.listen({ host: '127.0.0.1', port: Number(port) })
