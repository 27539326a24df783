"""Authenticate sessions, list them, and end them one by one."""

from collections.abc import Collection

from application.ports.clock import Clock
from application.ports.session_store import SessionStore
from domain.errors import NotFound, TokenInvalid
from domain.event import Cause
from domain.identity import AppId
from domain.session import EndReason, Session, SessionPolicy, SessionToken


class Sessions:
    """Authenticates, lists and ends sessions. Every method may raise StoreUnavailable.

    Reads no users, so that live sessions work while the database does not answer. See UserSessions for the others.
    """

    def __init__(self, store: SessionStore, *, policy: SessionPolicy, clock: Clock) -> None:
        self._store = store
        self._policy = policy
        self._touch_interval = policy.touch_interval
        self._clock = clock

    async def authenticate(self, token: str, apps: Collection[AppId] | None = None) -> Session:
        """Return the live session of the token, and prolong it. Sessions of other apps than `apps` are unknown tokens.

        Raises TokenMissing, TokenInvalid, SessionExpired, SessionEnded and SessionReplaced.
        """
        return await self.use(SessionToken(token).session_id, apps)

    async def use(self, session_id: str, apps: Collection[AppId] | None = None) -> Session:
        """Return the live session with this id, and prolong it. For callers that know that its user is here.

        Raises as `authenticate`.
        """
        now = self._clock()
        found = await self._store.find(session_id)
        if found is None:
            raise TokenInvalid
        session = found.require_live(now)
        if apps is not None and session.identity.appid not in apps:
            raise TokenInvalid
        if now - session.last_seen_at < self._touch_interval:
            return session
        touched = session.touch(self._policy, now)
        await self._store.touch(touched)
        return touched

    async def list_for_user(self, user_id: str) -> list[Session]:
        """Return the live sessions under this id of a user, newest first."""
        now = self._clock()
        live = [session for session in await self._store.list_for_user(user_id) if session.is_live(now)]
        return sorted(live, key=lambda session: session.created_at, reverse=True)

    async def end(
        self,
        session_id: str,
        cause: Cause,
        *,
        user_id: str | None = None,
        apps: Collection[AppId] | None = None,
    ) -> Session:
        """End one session, and return it as it was before.

        Raises NotFound if no session with this id is live, or if it belongs to another user than `user_id`, or to an
        app that is not in `apps`.
        """
        now = self._clock()
        session = await self._store.find(session_id)
        if (
            not isinstance(session, Session)
            or not session.is_live(now)
            or user_id not in (None, session.user_id)
            or (apps is not None and session.identity.appid not in apps)
        ):
            raise NotFound("There is no such session")
        await self._store.end([session], EndReason.ENDED, now, cause)
        return session

    async def revoke(self, session_id: str, cause: Cause, apps: Collection[AppId] | None = None) -> Session | None:
        """End one session, and return it as it was before; None where `end` raises NotFound."""
        try:
            return await self.end(session_id, cause, apps=apps)
        except NotFound:
            return None
