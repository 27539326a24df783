"""WeChat: its state and its rules."""

from collections.abc import Mapping
from secrets import token_hex
from typing import NamedTuple

from wechat_sandbox.accounts import Accounts, openid_of
from wechat_sandbox.apps import Apps
from wechat_sandbox.client_data import ClientData
from wechat_sandbox.clock import Clock
from wechat_sandbox.codes import Codes, new_login_code
from wechat_sandbox.errors import require
from wechat_sandbox.payments import Payments
from wechat_sandbox.phones import Phones
from wechat_sandbox.quotas import Quotas
from wechat_sandbox.signing import Signing
from wechat_sandbox.tokens import AccessTokens
from wechat_sandbox.user_keys import UserKeys
from wechat_sandbox.wxacodes import WxaCodes


class LoginCode(NamedTuple):
    """A code of wx.login(), and its user."""

    code: str
    openid: str


class WeChat:
    """The rules of WeChat: those of login here, the others in their own modules.

    - `secrets` maps appid to secret. Without any, every appid is an app with any secret of 32 hex digits.
    - A login code is valid for 300 seconds of the clock, once, and for its app only.
    - wx.login() replaces the account's session_key; an exchange returns the current one.
    - The state is in memory, and bounded.
    """

    def __init__(self, clock: Clock, secrets: Mapping[str, str] | None = None) -> None:
        self.apps = Apps(secrets)
        self.accounts = Accounts(clock.now)
        self.tokens = AccessTokens(clock.now, self.apps)
        self.phones = Phones(clock.now)
        self.client_data = ClientData(clock.now, self.accounts)
        self.payments = Payments(clock.now, self.accounts)
        self.user_keys = UserKeys(clock.now)
        self.wxacodes = WxaCodes(clock.now)
        self.quotas = Quotas(clock.now)
        self.signing = Signing(clock.unmoved)
        self._login_codes: Codes[str] = Codes(clock.now, new_login_code, used_errcode=40163)

    def issue_code(self, appid: str, openid: str | None = None, unionid: str | None = None) -> LoginCode:
        """Issue a code as wx.login() does; without `openid` for a new user, or for the one with `unionid`.

        Raises ControlRefused for an appid other than the given ones.
        """
        self.apps.require(appid)
        openid = openid or openid_of(appid, unionid or token_hex())
        if unionid:
            self.accounts.get(appid, openid).unionid = unionid
        self.accounts.replace_key(appid, openid)
        return LoginCode(self._login_codes.issue(appid, openid), openid)

    def code2session(self, appid: str, secret: str, js_code: str, grant_type: str) -> dict[str, object]:
        """Exchange a code. An empty parameter counts as missing.

        Raises WeChatError, in this order: 41002, 41004, 41008 (appid, secret, js_code missing), 40002
        (grant_type), 40013 (unknown app), 40125 (its secret is another), 40029 (a code unknown or another
        app's), 40163 (used), 40029 (expired). Only success spends a code.
        """
        require(appid, 41002)
        require(secret, 41004)
        require(js_code, 41008)
        require(grant_type == "authorization_code", 40002)
        self.apps.authenticate(appid, secret)
        openid = self._login_codes.spend(js_code, appid)
        unionid = self.accounts.get(appid, openid).unionid
        known = {"unionid": unionid} if unionid else {}
        return {"session_key": self.accounts.key(appid, openid), "openid": openid, **known}
