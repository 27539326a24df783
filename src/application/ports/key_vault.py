"""Store session_keys."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.identity import Identity
from domain.session import Session
from domain.session_key import KeyRing, Reencrypted, SessionKey


class KeyVault(Protocol):
    """Stores session_keys, encrypted: the current and the previous one of each user in each app.

    SessionStore.start stores the key of a login. Every method may raise StoreUnavailable.
    """

    @abstractmethod
    async def get(self, session: Session) -> KeyRing:
        """Return the keys of the session's user in its app.

        Raises DataUndecryptable if there is none, or its encryption key is no longer configured: a new login helps.
        """

    @abstractmethod
    async def replace(self, session: Session, key: SessionKey, now: datetime) -> None:
        """Make `key` the current one, retained at least until the session's maximum age. Idempotent."""

    @abstractmethod
    async def erase(self, user_id: str, accounts: Sequence[Identity]) -> None:
        """Delete the keys of an erased user, whose accounts these were. Idempotent.

        If an account belongs to a new user by now, a vault that stores keys by account keeps that account's keys.
        """

    @abstractmethod
    async def reencrypt(self) -> Reencrypted:
        """Encrypt all stored keys with the newest encryption key. Idempotent, and safe while users log in."""
