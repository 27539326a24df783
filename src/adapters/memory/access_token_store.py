"""Access tokens in the memory of this process, for tests and for a service of one process."""

from datetime import datetime, timedelta

from application.ports.access_token_store import AccessTokenStore
from domain.access_token import AccessTokenState
from domain.identity import AppId


class MemoryAccessTokenStore(AccessTokenStore):
    """An AccessTokenStore of one process."""

    def __init__(self) -> None:
        self._states: dict[AppId, AccessTokenState] = {}
        self._leases: dict[AppId, tuple[str, datetime]] = {}

    async def load(self, appid: AppId) -> AccessTokenState:
        """See AccessTokenStore."""
        return self._states.get(appid, AccessTokenState())

    async def acquire_lease(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """See AccessTokenStore."""
        if appid in self._leases and now < self._leases[appid][1]:
            return False
        self._leases[appid] = (holder, now + lease)
        return True

    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:
        """See AccessTokenStore."""
        if appid in self._leases and self._leases[appid][0] == holder:
            self._states[appid] = state
            del self._leases[appid]
