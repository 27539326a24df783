"""Sessions in the memory of this process, for tests and for a service that may lose them at a restart."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.memory.key_vault import MemoryKeyVault
from application.ports.events import Publish, ignore
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from domain.event import Cause
from domain.session import EndedSession, EndReason, Session, beyond_limit
from domain.session_key import SessionKey


class MemorySessionStore(SessionStore):
    """A SessionStore of one process. It publishes its events, and keeps none."""

    def __init__(self, vault: KeyVault | None = None, publish: Publish = ignore) -> None:
        self._sessions: dict[str, Session | EndedSession] = {}
        self._vault = vault or MemoryKeyVault()
        self._publish = publish

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        now = session.created_at
        self._sessions[session.id] = session
        if key:
            await self._vault.replace(session, key, now)
        self._publish([session.started_event()])
        cause = Cause.user(session.device.ip)
        replaced = await self.end([previous] if previous else [], EndReason.REPLACED, now, cause)
        excess = beyond_limit(await self.list_for_user(session.user_id), limit, now)
        return replaced + await self.end(excess, EndReason.REPLACED, now, cause)

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        return self._sessions.get(session_id)

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        if isinstance(kept := self._sessions.get(session.id), Session):
            self._sessions[session.id] = replace(session, user_id=kept.user_id)

    async def list_for_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        return [s for s in self._sessions.values() if isinstance(s, Session) and s.user_id == user_id]

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore."""
        stored = [self._sessions.get(each.id) for each in sessions]
        ending = [each for each in stored if isinstance(each, Session)]
        if ending:
            self._publish([each.ended_event(reason, now, cause) for each in ending])
        self._sessions |= {each.id: each.end(reason, now) for each in ending}
        return len(ending)

    async def move(self, from_id: str, into_id: str) -> None:
        """See SessionStore."""
        moving = await self.list_for_user(from_id)
        self._sessions |= {session.id: replace(session, user_id=into_id) for session in moving}

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:  # noqa: ARG002  # one step
        """See SessionStore."""
        theirs = await self.list_for_user(user_id)
        live = [session for session in theirs if session.is_live(now)]
        await self.end(live, EndReason.ENDED, now, cause.without_address())
        for session in theirs:
            if session not in live:
                del self._sessions[session.id]
        return len(live)

    async def purge(self, now: datetime) -> int:
        """See SessionStore."""
        forgotten = [session_id for session_id, session in self._sessions.items() if now >= session.retain_until]
        for session_id in forgotten:
            del self._sessions[session_id]
        return len(forgotten)

    async def check(self) -> None:
        """See SessionStore."""
