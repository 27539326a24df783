"""Identify users."""

from abc import abstractmethod
from typing import Protocol

from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey


class IdentityProvider(Protocol):
    """Exchanges a login code for the identity of its user."""

    @abstractmethod
    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Return the identity behind `code`, and the session_key of this login.

        A code works once: implementations send it at most once, whatever fails.

        Raises AppUnknown, CodeInvalid, CodeUsed, UserBlockedByProvider, AppMisconfigured, RateLimited,
        IdentityProviderUnavailable, IdentityProviderBadResponse and, if logins of an app are limited, StoreUnavailable.
        """
