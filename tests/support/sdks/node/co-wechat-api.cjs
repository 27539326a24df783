// co-wechat-api: https://github.com/node-webot/co-wechat-api. It knows no phone number: API.mixin adds it, as it adds all else.
'use strict';

const API = require('co-wechat-api');
const { postJSON } = require('co-wechat-api/lib/util');
const serve = require('./serve.cjs');

const { url, appid, secret } = JSON.parse(process.argv[2]);

API.mixin({
  async getPhoneNumber(code) {
    const { accessToken } = await this.ensureAccessToken();
    return this.request(`${this.wxaPrefix}business/getuserphonenumber?access_token=${accessToken}`, postJSON({ code }));
  },
  async getPath(path, parameters) {
    const { accessToken } = await this.ensureAccessToken();
    const query = new URLSearchParams({ access_token: accessToken, ...parameters });
    return this.request(`${url}/${path}?${query}`);
  },
});

class SandboxAPI extends API {
  constructor() {
    super(appid, secret);
    this.prefix = `${url}/cgi-bin/`;
    this.snsPrefix = `${url}/sns/`;
    this.wxaPrefix = `${url}/wxa/`;
  }
}

const api = new SandboxAPI();

serve({
  login: (code) => api.code2Session(code),
  accessToken: async () => (await api.ensureAccessToken()).accessToken,
  renewToken: async () => (await api.getAccessToken()).accessToken,
  phone: (code) => api.getPhoneNumber(code),
  get: (path, parameters) => api.getPath(path, parameters),
});
