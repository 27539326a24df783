"""Exchange login codes: code2Session.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html
"""

import re
from collections.abc import Mapping

from adapters.wechat.api import WeChatApi, text_in
from adapters.wechat.errors import Meanings
from application.ports.identity_provider import IdentityProvider
from domain.errors import AppUnknown, CodeInvalid
from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey

PHONE_CODE = re.compile(r"[0-9a-f]{64}")
"""As in WeChat's documentation; a login code has 32 letters and digits."""

PHONE_CODE_SENT: Meanings = {
    40029: (
        CodeInvalid,
        "This looks like a code of the phone button; send it to PUT /v1/me/phone, and a wx.login() code here",
    )
}


class WeChatIdentityProvider(IdentityProvider):
    """An IdentityProvider on WeChat. `secrets` are the AppSecrets by appid. It needs no access token."""

    def __init__(self, api: WeChatApi, secrets: Mapping[AppId, str]) -> None:
        self._api = api
        self._secrets = secrets

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider. A failure is never retried: the code may be spent."""
        if appid not in self._secrets:
            raise AppUnknown
        params = {
            "appid": appid.value,
            "secret": self._secrets[appid],
            "js_code": code.value,
            "grant_type": "authorization_code",
        }
        meanings = PHONE_CODE_SENT if PHONE_CODE.fullmatch(code.value) else {}
        answer = await self._api.get("/sns/jscode2session", params, meanings)
        unionid = text_in(answer, "unionid", r"[!-~]{1,128}") if answer.get("unionid") else None
        identity = Identity(appid, text_in(answer, "openid", r"[!-~]{1,128}"), unionid)
        return identity, SessionKey(text_in(answer, "session_key", r"[!-~]{1,512}"))
