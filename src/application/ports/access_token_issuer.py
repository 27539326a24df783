"""Issue access tokens."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from domain.access_token import AccessToken
from domain.identity import AppId


class AccessTokenIssuer(Protocol):
    """Issues access tokens of an app."""

    @abstractmethod
    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """Return the current token. It stays the same until shortly before it expires.

        Raises AppMisconfigured, RateLimited, IdentityProviderUnavailable and IdentityProviderBadResponse.
        """
