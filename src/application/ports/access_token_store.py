"""Store access tokens."""

from abc import abstractmethod
from datetime import datetime, timedelta
from typing import Protocol

from domain.access_token import AccessTokenState
from domain.identity import AppId


class AccessTokenStore(Protocol):
    """Stores access tokens, encrypted, for all processes. Every method may raise StoreUnavailable."""

    @abstractmethod
    async def load(self, appid: AppId) -> AccessTokenState:
        """Return the stored state, or an empty one if none exists or its encryption key is not configured any more."""

    @abstractmethod
    async def acquire_lease(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """Take the lease to fetch a token, and return whether `holder` has it now. It expires after `lease`."""

    @abstractmethod
    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:
        """Store `state` and end the lease of `holder`. Does nothing if another holder has the lease by now."""
