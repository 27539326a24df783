"""Store users."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from domain.event import Cause
from domain.identity import Identity
from domain.user import PhoneNumber, ProfileChange, UnionIdConflict, User
from domain.user_query import UserQuery


class UserRepository(Protocol):
    """Stores users and their accounts. Each change is one transaction, and its event is written in it.

    Every method may raise StoreUnavailable.
    """

    @abstractmethod
    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """Return the user of this identity, and whether it was created. May omit the `accounts`.

        Concurrent calls agree: an (appid, openid) has one user, and accounts with the same unionid share one. A unionid
        that arrives later is added to the user. If another user already has it, a conflict is recorded, neither user
        changes, and the returned user is blocked when the other is, because both are the same person.
        """

    @abstractmethod
    async def get(self, user_id: str) -> User:
        """Return the user with all accounts; for a merged user, the user they were merged into. Raises NotFound."""

    @abstractmethod
    async def find_users(self, query: UserQuery) -> list[User]:
        """Return the users that match, with all accounts, newest first. Any text may be searched for."""

    @abstractmethod
    async def ids_of(self, user_id: str) -> list[str]:
        """Return all ids of the user that `get` returns: those of users who were merged into them, then their own.

        An id stands before the id that it was merged into. Raises NotFound.
        """

    @abstractmethod
    async def change_profile(self, user_id: str, change: ProfileChange, now: datetime) -> User:
        """Change the profile, and return the user. Raises NotFound."""

    @abstractmethod
    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime, cause: Cause) -> User:
        """Set the phone number in place of any earlier one, and return the user. Raises NotFound."""

    @abstractmethod
    async def block(self, user_id: str, now: datetime, cause: Cause) -> User:
        """Block the user, and return the user. Raises NotFound."""

    @abstractmethod
    async def unblock(self, user_id: str, now: datetime, cause: Cause) -> User:
        """Unblock the user, and return the user. Makes no event if they were not blocked. Raises NotFound."""

    @abstractmethod
    async def merge(self, from_id: str, into_id: str, discard: frozenset[str], now: datetime, cause: Cause) -> User:
        """Merge the first user into the second, and return the second. Idempotent.

        Moves accounts and profile as `domain.user.merge` says. May move sessions; SessionStore.move moves them all.
        Resolves the conflicts between the two, and keeps a record of the first. Raises NotFound and RequestInvalid.
        """

    @abstractmethod
    async def conflicts(self) -> list[UnionIdConflict]:
        """Return the recorded unionid conflicts, which `merge` resolves."""
