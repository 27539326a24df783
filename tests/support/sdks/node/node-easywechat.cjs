// node-easywechat: https://github.com/hpyer/node-easywechat
'use strict';

const { MiniApp } = require('node-easywechat');
const serve = require('./serve.cjs');

const { url, appid, secret, cache, stable } = JSON.parse(process.argv[2]);
const app = new MiniApp({
  app_id: appid,
  secret,
  use_stable_access_token: stable,
  http: { baseURL: url },
  file_cache: { path: cache },
});

serve({
  login: (code) => app.getUtils().codeToSession(code),
  accessToken: () => app.getAccessToken().getToken(),
  renewToken: () => app.getAccessToken().refresh(),
  phone: async (code) => (await app.getClient().postJson('wxa/business/getuserphonenumber', { code })).toObject(),
  get: async (path, params) => (await app.getClient().get(path, { params })).toObject(),
  decrypt: (sessionKey, iv, encryptedData) => app.getUtils().decryptSession(sessionKey, iv, encryptedData),
});
