"""Block and unblock users."""

from application.ports.clock import Clock
from application.ports.user_repository import UserRepository
from application.user_sessions import UserSessions
from domain.event import Cause
from domain.user import User


class BlockUsers:
    """Blocks users, for an operator. Every method may raise NotFound and StoreUnavailable.

    All sessions of a blocked user end at once, and their logins are refused. A login under way sees the block, too:
    see LoginUseCase. So does a merge under way: see UserSessions.
    """

    def __init__(self, users: UserRepository, sessions: UserSessions, *, clock: Clock) -> None:
        self._users = users
        self._sessions = sessions
        self._clock = clock

    async def block(self, user_id: str, cause: Cause) -> int:
        """Block the user, and return how many sessions ended."""
        user = await self._users.block(user_id, self._clock(), cause)
        return await self._sessions.end_all(user.id, cause)

    async def unblock(self, user_id: str, cause: Cause) -> User:
        """Allow the user to log in again."""
        return await self._users.unblock(user_id, self._clock(), cause)
