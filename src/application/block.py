"""Keep a user out, and let them in again."""

import asyncio

from application.ports import Clock, UserRepository
from application.sessions import Sessions
from domain.user import User

LOGIN_SECONDS = 1.0
"""Longer than a login takes from finding its user to starting the session."""


class BlockUsers:
    """Blocks users, for an operator. Every method raises NotFound and StoreUnavailable.

    - A blocked user is logged out everywhere at once, and cannot log in.
    - A login that was under way meanwhile is ended, too: their sessions are looked through once more, `patience`
      seconds later.
    """

    def __init__(
        self, users: UserRepository, sessions: Sessions, *, clock: Clock, patience: float = LOGIN_SECONDS
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._clock = clock
        self._patience = patience

    async def block(self, user_id: str) -> int:
        """Keep the user out, and say how many sessions ended."""
        user = await self._users.block(user_id, self._clock())
        return await self.log_out(user.id)

    async def log_out(self, user_id: str) -> int:
        """Log a blocked user out everywhere, and return how many sessions ended."""
        ended = await self._sessions.end_all(user_id)
        await asyncio.sleep(self._patience)
        return ended + await self._sessions.end_all(user_id)

    async def unblock(self, user_id: str) -> User:
        """Let the user log in again."""
        return await self._users.block(user_id, None)
