"""Block and unblock users."""

import asyncio

from application.ports.clock import Clock
from application.ports.user_repository import UserRepository
from application.sessions import Sessions
from domain.user import User

LOGIN_SECONDS = 1.0
"""Longer than a login takes between finding its user and starting the session."""


class BlockUsers:
    """Blocks users, for an operator. Every method may raise NotFound and StoreUnavailable.

    - All sessions of a blocked user end at once, and their logins are refused.
    - A login that was under way is ended, too: the user's sessions are ended again `patience` seconds later.
    """

    def __init__(
        self, users: UserRepository, sessions: Sessions, *, clock: Clock, patience: float = LOGIN_SECONDS
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._clock = clock
        self._patience = patience

    async def block(self, user_id: str) -> int:
        """Block the user, and return how many sessions ended."""
        user = await self._users.block(user_id, self._clock())
        return await self.log_out(user.id)

    async def log_out(self, user_id: str) -> int:
        """End all sessions of a blocked user, and return how many."""
        ended = await self._sessions.end_all(user_id)
        await asyncio.sleep(self._patience)
        return ended + await self._sessions.end_all(user_id)

    async def unblock(self, user_id: str) -> User:
        """Allow the user to log in again."""
        return await self._users.block(user_id, None)
