"""Merge two users who are the same person."""

from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from application.user_sessions import UserSessions
from domain.errors import NotFound
from domain.event import SYSTEM, Cause
from domain.user import UnionIdConflict, User


@dataclass(frozen=True, slots=True)
class Merged:
    """The remaining user, how many live sessions were moved, and how many ended because the user is blocked."""

    user: User
    sessions: int
    ended: int


class MergeUsers:
    """Merges users, for an operator. The service never merges users by itself.

    - Accounts, sessions, phone and profile are moved. Sessions stay valid.
    - If one of the two is blocked, or the merged user meanwhile, the merged user is blocked, and all sessions end.
    - If a field differs, the merge is refused unless the operator discards the field.
    - The id of the first user finds the second from then on. A record of the first is kept.
    - An interrupted merge is completed by the same command.
    - If the user is erased during the merge, what the merge moved is erased, too.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, users: UserRepository, store: SessionStore, sessions: UserSessions, *, clock: Clock) -> None:
        self._users = users
        self._store = store
        self._sessions = sessions
        self._clock = clock

    async def __call__(self, from_id: str, into_id: str, cause: Cause, discard: frozenset[str] = frozenset()) -> Merged:
        """Merge the user `from_id` into `into_id`. Raises NotFound and RequestInvalid."""
        now = self._clock()
        moved = sum(session.is_live(now) for session in await self._store.list_for_user(from_id))
        into = await self._users.merge(from_id, into_id, discard, now, cause)
        await self._store.move(from_id, into.id)
        user = await self._find_again(from_id, into.id)
        ended = await self._sessions.end_all(user.id, cause) if user.blocked_at else 0
        return Merged(user, moved, ended)

    async def _find_again(self, from_id: str, into_id: str) -> User:
        """Find the user again, because a block or an erasure meanwhile did not see what was moved.

        If the user was erased, erases the sessions again, and raises NotFound.
        """
        try:
            return await self._users.get(into_id)
        except NotFound:
            for user_id in (from_id, into_id):
                await self._store.erase(user_id, self._clock(), SYSTEM)
            raise

    async def conflicts(self) -> list[UnionIdConflict]:
        """Return the users that share a unionid, so that an operator has to merge them."""
        return await self._users.conflicts()
