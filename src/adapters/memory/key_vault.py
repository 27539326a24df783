"""session_keys in the memory of this process, for tests and for embedding."""

from collections.abc import Sequence
from datetime import datetime

from application.ports.key_vault import KeyVault
from domain.errors import DataUndecryptable
from domain.identity import Identity
from domain.session import Session
from domain.session_key import KeyRing, Reencrypted, SessionKey


class MemoryKeyVault(KeyVault):
    """A KeyVault of one process. It does not encrypt."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], KeyRing] = {}
        self._users: dict[tuple[str, str], str] = {}

    async def get(self, session: Session) -> KeyRing:
        """See KeyVault."""
        ring = self._rings.get(_account(session.identity))
        if ring is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        return ring

    async def replace(self, session: Session, key: SessionKey, now: datetime) -> None:
        """See KeyVault."""
        account = _account(session.identity)
        self._users[account] = session.user_id
        known = self._rings.get(account)
        if known is None:
            self._rings[account] = KeyRing(key)
        elif known.current != key:
            self._rings[account] = KeyRing(key, known.current, now)

    async def erase(self, user_id: str, accounts: Sequence[Identity]) -> None:  # noqa: ARG002  # those of the user
        """See KeyVault."""
        for account in [account for account, owner in self._users.items() if owner == user_id]:
            del self._rings[account], self._users[account]

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        return Reencrypted()


def _account(identity: Identity) -> tuple[str, str]:
    return identity.appid.value, identity.openid
