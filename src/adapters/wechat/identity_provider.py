"""Who a login code belongs to: code2Session.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html
"""

import re
from collections.abc import Mapping
from typing import Any

from adapters.wechat.api import WeChatApi
from application.ports import IdentityProvider
from domain.errors import AppUnknown, WeChatBadAnswer
from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey


class WeChatIdentityProvider(IdentityProvider):
    """The IdentityProvider that WeChat is. `secrets` are the AppSecrets by appid. Needs no access_token."""

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
        answer = await self._api.get("/sns/jscode2session", params)
        unionid = _text(answer, "unionid", r"[!-~]{1,128}") if answer.get("unionid") else None
        identity = Identity(appid, _text(answer, "openid", r"[!-~]{1,128}"), unionid)
        return identity, SessionKey(_text(answer, "session_key", r"[!-~]{1,512}"))


def _text(answer: Mapping[str, Any], field: str, pattern: str) -> str:
    value = answer.get(field)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise WeChatBadAnswer(f"WeChat's answer has no usable {field}")
    return value
