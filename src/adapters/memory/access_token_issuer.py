"""Issue access tokens in this process, without WeChat."""

import secrets
from datetime import datetime, timedelta

from application.ports.access_token_issuer import AccessTokenIssuer
from domain.access_token import AccessToken
from domain.identity import AppId

LIFETIME = timedelta(hours=2)
RENEWED_BEFORE_END = timedelta(minutes=5)


class MemoryAccessTokenIssuer(AccessTokenIssuer):
    """An AccessTokenIssuer with WeChat's rules: the token stays the same until its last five minutes."""

    def __init__(self) -> None:
        self.issued: list[AccessToken] = []
        self._newest: dict[AppId, AccessToken] = {}

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """See AccessTokenIssuer."""
        token = self._newest.get(appid)
        if token is None or now >= token.expires_at - RENEWED_BEFORE_END:
            token = AccessToken(secrets.token_urlsafe(48), now + LIFETIME)
            self._newest[appid] = token
            self.issued.append(token)
        return token
