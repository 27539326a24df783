// Reads JWTs from stdin, one a line, and prints the claims of each that a backend accepts, or null.
import { createInterface } from 'node:readline'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const { JWKS_URL, ISSUER, AUDIENCE } = process.env
const keys = createRemoteJWKSet(new URL(JWKS_URL))
const expected = { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256'], typ: 'at+jwt' }

for await (const token of createInterface({ input: process.stdin })) {
  const read = await jwtVerify(token, keys, expected).catch((error) => {
    if (!error.code?.startsWith('ERR_J')) throw error
    return { payload: null }
  })
  console.log(JSON.stringify(read.payload))
}
