"""Issue access tokens: getStableAccessToken.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getStableAccessToken.html
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from adapters.wechat.api import WeChatApi, number_in, text_in
from application.ports.access_token_issuer import AccessTokenIssuer
from domain.access_token import AccessToken
from domain.errors import AppUnknown
from domain.identity import AppId


class WeChatAccessTokenIssuer(AccessTokenIssuer):
    """An AccessTokenIssuer on WeChat. `secrets` are the AppSecrets by appid. It does not use `force_refresh`."""

    def __init__(self, api: WeChatApi, secrets: Mapping[AppId, str]) -> None:
        self._api = api
        self._secrets = secrets

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """See AccessTokenIssuer."""
        if appid not in self._secrets:
            raise AppUnknown
        body = {
            "grant_type": "client_credential",
            "appid": appid.value,
            "secret": self._secrets[appid],
            "force_refresh": False,
        }
        answer = await self._api.post("/cgi-bin/stable_token", {}, body)
        lifetime = timedelta(seconds=min(number_in(answer, "expires_in"), 86400))
        return AccessToken(text_in(answer, "access_token", r"[!-~]{1,2048}"), now + lifetime)
