"""Session_keys in this process's memory: for tests and for embedding."""

from datetime import datetime

from application.ports import KeyVault
from domain.errors import DataUndecryptable
from domain.identity import Identity
from domain.session_key import KeyRing, Reencrypted, SessionKey


class MemoryKeyVault(KeyVault):
    """A KeyVault of one process, which encrypts nothing."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], KeyRing] = {}

    async def find(self, identity: Identity) -> KeyRing:
        """See KeyVault."""
        ring = self._rings.get((identity.appid.value, identity.openid))
        if ring is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        return ring

    async def replace(self, identity: Identity, key: SessionKey, now: datetime, until: datetime) -> None:  # noqa: ARG002  # memory keeps all
        """See KeyVault."""
        account = (identity.appid.value, identity.openid)
        known = self._rings.get(account)
        if known is None:
            self._rings[account] = KeyRing(key)
        elif known.current != key:
            self._rings[account] = KeyRing(key, known.current, now)

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        return Reencrypted()
