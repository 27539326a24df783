"""The use cases of operators: users, sessions and the audit trail."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from application.block import BlockUsers
from application.event_relay import EventRelay
from application.merge import Merged, MergeUsers
from application.own_data import OwnData
from application.ports.clock import Clock
from application.ports.events import Events
from application.ports.login_failures import LoginFailures
from application.ports.user_repository import UserRepository
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.errors import StoreUnavailable
from domain.event import Cause, Event, EventQuery
from domain.login_failure import LoginFailure
from domain.session import Session
from domain.user import UnionIdConflict, User
from domain.user_query import UserQuery

REPORTED = timedelta(hours=1)
"""The period of the report of failed logins."""


class Administration:
    """Finds, blocks, merges and erases users, ends their sessions, and reads the audit trail, for an operator.

    The id of a merged user stands for the user that they were merged into. Every method may raise StoreUnavailable, and
    those with a user's id raise NotFound.
    """

    def __init__(
        self,
        users: UserRepository,
        events: Events,
        relay: EventRelay,
        failures: LoginFailures,
        sessions: Sessions,
        user_sessions: UserSessions,
        block: BlockUsers,
        merge: MergeUsers,
        own_data: OwnData,
        *,
        clock: Clock,
    ) -> None:
        self._users = users
        self._events = events
        self._relay = relay
        self._failures = failures
        self._clock = clock
        self._sessions = sessions
        self._user_sessions = user_sessions
        self._block = block
        self._merge = merge
        self._own_data = own_data

    async def find_users(self, query: UserQuery) -> list[User]:
        """Return the users that match, newest first."""
        return await self._users.find_users(query)

    async def get(self, user_id: str) -> User:
        """Return the user with all accounts."""
        return await self._users.get(user_id)

    async def sessions_of(self, user_id: str) -> list[Session]:
        """Return the user's live sessions, newest first."""
        return await self._user_sessions.list_all(user_id)

    async def block(self, user_id: str, cause: Cause) -> int:
        """Block the user, and return how many sessions ended."""
        return await self._block.block(user_id, cause)

    async def unblock(self, user_id: str, cause: Cause) -> User:
        """Allow the user to log in again, and return the user."""
        return await self._block.unblock(user_id, cause)

    async def end_session(self, session_id: str, cause: Cause) -> Session:
        """End one session, and return it as it was before. Raises NotFound if it is not live."""
        return await self._sessions.end(session_id, cause)

    async def end_sessions(self, user_id: str, cause: Cause) -> int:
        """End all live sessions of the user, and return how many."""
        return await self._user_sessions.end_all(user_id, cause)

    async def merge(self, from_id: str, into_id: str, discard: frozenset[str], cause: Cause) -> Merged:
        """Merge the first user into the second. Raises RequestInvalid if a field differs and is not in `discard`."""
        return await self._merge(from_id, into_id, cause, discard)

    async def export(self, user_id: str) -> dict[str, Any]:
        """Return all that is kept about the user, as one document."""
        return await self._own_data.export(user_id)

    async def erase(self, user_id: str, cause: Cause) -> bool:
        """Erase the user, and return whether they were there; False finishes or repeats an erasure."""
        return await self._own_data.erase(user_id, cause)

    async def conflicts(self) -> list[UnionIdConflict]:
        """Return the users that share a unionid, so that they have to be merged."""
        return await self._merge.conflicts()

    async def find_events(self, query: EventQuery) -> list[Event]:
        """Return events of the audit trail, newest first, with those that the session store wrote until now.

        When the session store does not answer, its newest events are missing.
        """
        with suppress(StoreUnavailable):
            await self._relay()
        return await self._events.find(query)

    async def failed_logins(self) -> tuple[datetime, dict[LoginFailure, int]]:
        """Return the numbers of failed logins of the last hour, and the minute from which on they are counted."""
        since = (self._clock() - REPORTED).replace(second=0, microsecond=0)
        return since, await self._failures.since(since)
