// The device flow of RFC 8628 by openid-client, which polls by itself. Prints what it gets, one JSON object a line.
import * as client from 'openid-client'

const [url, id, secret, appid] = process.argv.slice(2)
const server = {
  issuer: url,
  device_authorization_endpoint: `${url}/oauth2/device_authorization`,
  token_endpoint: `${url}/oauth2/token`,
}
const config = new client.Configuration(server, id, undefined, client.ClientSecretBasic(secret))
client.allowInsecureRequests(config)

const print = (object) => console.log(JSON.stringify(object))
const started = await client.initiateDeviceAuthorization(config, { appid, ip: '203.0.113.7' })
print(started)
try {
  print(await client.pollDeviceAuthorizationGrant(config, started))
} catch (error) {
  print({ error: error.error ?? error.code ?? String(error) })
}
