"""Make two users one, when they turn out to be the same person."""

from dataclasses import dataclass

from application.block import BlockUsers
from application.ports import Clock, SessionStore, UserRepository
from domain.user import UnionIdConflict, User


@dataclass(frozen=True, slots=True)
class Merged:
    """The user that is left, how many sessions came to them, and how many ended because they are blocked."""

    user: User
    sessions: int
    ended: int


class MergeUsers:
    """Merges users, for an operator: nothing is ever merged silently.

    - Accounts, sessions, phone and profile go along; whoever is logged in stays so.
    - If either of the two is blocked, the user they are now is: blocked, and logged out everywhere.
    - Where the two differ, nothing happens unless the operator says what may be lost.
    - The merged user's id still finds the user they are now, and what they were stays on record.
    - A merge that was interrupted is finished by the same command.

    Every method raises StoreUnavailable.
    """

    def __init__(self, users: UserRepository, sessions: SessionStore, blocking: BlockUsers, *, clock: Clock) -> None:
        self._users = users
        self._sessions = sessions
        self._blocking = blocking
        self._clock = clock

    async def __call__(self, from_id: str, into_id: str, discard: frozenset[str] = frozenset()) -> Merged:
        """Merge the user `from_id` into `into_id`. Raises NotFound and RequestInvalid."""
        open_before = len(await self._sessions.of_user(from_id))
        user = await self._users.merge(from_id, into_id, discard, self._clock())
        moved = await self._sessions.move(from_id, user.id)  # a database has moved them in the merge itself
        ended = await self._blocking.log_out(user.id) if user.blocked_at else 0
        return Merged(user, max(moved, open_before), ended)

    async def conflicts(self) -> list[UnionIdConflict]:
        """The users that WeChat says are one, and that somebody has to merge."""
        return await self._users.conflicts()
