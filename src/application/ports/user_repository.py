"""Store users."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from domain.event import Cause
from domain.identity import Identity
from domain.own_data import Erasure, UserRecords
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
    async def add_unionid(self, identity: Identity, now: datetime) -> User:
        """Return the user of this identity as `find_or_create` does, but create none. Raises NotFound."""

    @abstractmethod
    async def find_account(self, identity: Identity) -> User | None:
        """Return the user of this appid and openid, or None. Creates no user, and may omit the `accounts`."""

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
        """Set the phone number in place of any earlier one, and return the user.

        Raises NotFound and, where a number may have one user only, PhoneTaken if another user has it. Of concurrent
        calls with one number, one succeeds then.
        """

    @abstractmethod
    async def revoke_consent(
        self, user_id: str, fields: frozenset[str], now: datetime, cause: Cause, event_id: str | None = None
    ) -> User | None:
        """Remove the values of `fields` (see REVOCABLE_FIELDS), and return the user.

        The event has the id `event_id`, or a new one. If an event with this id is kept, changes nothing, and returns
        None: so a revocation that is repeated happens once. The reason of the event is that of the cause, or else the
        names of the fields. Raises NotFound.
        """

    @abstractmethod
    async def block(self, user_id: str, now: datetime, cause: Cause) -> User:
        """Block the user, and return the user. Does nothing, and makes no event, if they were. Raises NotFound."""

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
    async def records_of(self, user_id: str) -> UserRecords:
        """Return all that is stored about the user where users are stored, except for secrets. Raises NotFound."""

    @abstractmethod
    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """Erase the user, or for a merged user, the user they were merged into. Idempotent.

        Deletes all that is stored about them where users are stored, with the records of merges, so that an old id
        finds no user. Sessions that are stored there end, and only their ids and reasons stay. Removes the addresses
        from the user's events, also from those that are added later. The event of the erasure has no address; each
        merged user has one, too. Raises NotFound if there never was such a user, or no event says so any more.
        """

    @abstractmethod
    async def conflicts(self) -> list[UnionIdConflict]:
        """Return the recorded unionid conflicts, which `merge` resolves."""
