"""List and end all sessions of a user."""

from application.ports.clock import Clock
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from domain.event import Cause
from domain.session import EndReason, Session


class UserSessions:
    """Lists and ends the sessions of a user, during and after merges. Raises NotFound for an unknown user.

    - Each id of the user is accepted: their own, and those of the users who were merged into them.
    - Sessions that an interrupted merge did not move are among the user's sessions.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, store: SessionStore, users: UserRepository, *, clock: Clock) -> None:
        self._store = store
        self._users = users
        self._clock = clock

    async def list_all(self, user_id: str) -> list[Session]:
        """Return the user's live sessions, newest first."""
        ids = await self._users.ids_of(user_id)
        found = {session.id: session for each in ids for session in await self._live(each)}
        return sorted(found.values(), key=lambda session: session.created_at, reverse=True)

    async def end_all(self, user_id: str, cause: Cause, reason: EndReason = EndReason.ENDED) -> int:
        """End all sessions of the user that were live before the call, and return how many.

        A merge moves sessions in the order of `ids_of`. So a session that is no longer under one id is under a later
        one. If a merge changed the ids meanwhile, the loop runs again with the new ids.

        The sessions under `user_id` end first: they also end if the users cannot be read. After an error, the call can
        be repeated.
        """
        ended, ids = 0, [user_id]
        done: list[str] = []
        while ids != done:
            for each in ids:
                ended += await self._store.end(await self._live(each), reason, self._clock(), cause)
            done, ids = ids, await self._users.ids_of(user_id)
        return ended

    async def _live(self, user_id: str) -> list[Session]:
        now = self._clock()
        return [session for session in await self._store.list_for_user(user_id) if session.is_live(now)]
