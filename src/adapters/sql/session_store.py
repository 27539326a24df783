"""Sessions in a database."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, delete, func, insert, select, true, update

from adapters.sql.database import BATCH, Database
from adapters.sql.event_records import encode_event
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_records import row_of, session_of
from adapters.sql.tables import ended_sessions, session_keys, sessions
from application.ports.events import Publish, ignore
from application.ports.session_store import SessionStore
from domain.errors import StoreUnavailable
from domain.event import DEFAULT_POLICY, Cause, Event, EventPolicy, EventType
from domain.session import REASON_RETENTION, EndedSession, EndReason, Session, beyond_limit
from domain.session_key import SessionKey

INSERT = insert(sessions)

EPOCH = datetime.fromtimestamp(0, UTC)

ANY = true()

IS_RELAYED = func.coalesce(sessions.c.has_events, 0) == 0
"""Coalesced, because with `IS NULL` SQLite uses the index on has_events and reads all sessions."""


class SqlSessionStore(SessionStore):
    """A SessionStore on the database of the users.

    The events of a session are in its row, because a second statement would make a login wait for a transaction.
    """

    def __init__(
        self,
        database: Database,
        vault: SqlKeyVault,
        policy: EventPolicy = DEFAULT_POLICY,
        publish: Publish = ignore,
    ) -> None:
        self._database = database
        self._vault = vault
        self._writes_starts = policy.wants(EventType.SESSION_STARTED)
        self._writes_ends = policy.wants(EventType.SESSION_ENDED)
        self._publish = publish

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore.

        Ends older sessions after the new one is committed: of concurrent logins the last to look sees all others, and
        no login waits for another.
        """
        now, replaced, event = session.created_at, 0, session.started_event()
        if key:
            await self._vault.replace(session, key, now)
        await self._insert(session, event)
        self._publish([event])
        cause = Cause.user(session.device.ip)
        with suppress(StoreUnavailable):
            if previous:
                replaced = await self.end([previous], EndReason.REPLACED, now, cause)
            if limit:
                excess = beyond_limit(await self.list_for_user(session.user_id), limit, now)
                replaced += await self.end(excess, EndReason.REPLACED, now, cause)
        return replaced

    async def _insert(self, session: Session, event: Event) -> None:
        """Insert the row. If that fails because the user was erased, delete the session_key of this login."""
        try:
            work = partial(_insert, session=session, event=event if self._writes_starts else None)
            await self._database.write_one(work)
        except StoreUnavailable:
            with suppress(StoreUnavailable):
                await self._vault.erase(session.user_id, [session.identity])
            raise

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        return await self._database.read(partial(_find, session_id=session_id))

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        await self._database.write(partial(_touch, session=session))

    async def list_for_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        return await self._database.read(partial(_of_user, user_id=user_id))

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore. Each BATCH of sessions is one transaction."""
        total, ids = 0, [session.id for session in sessions]
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            work = partial(_end, ids=batch, reason=reason, now=now, cause=cause, writes_events=self._writes_ends)
            if ended := await self._database.write(work):
                self._publish(ended)
            total += len(ended)
        return total

    async def move(self, from_id: str, into_id: str) -> None:
        """See SessionStore."""
        await self._database.write(partial(_move, from_id=from_id, into_id=into_id))

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:  # noqa: ARG002  # deleted with the user
        """See SessionStore. Does nothing: UserRepository.erase has deleted the sessions in its transaction."""
        return 0

    async def purge(self, now: datetime) -> int:
        """See SessionStore. Leaves sessions whose events are not relayed yet."""
        await self._purge(session_keys, now)
        await self._purge(ended_sessions, now)
        return await self._purge(sessions, now, IS_RELAYED)

    async def check(self) -> None:
        """See SessionStore."""
        await self._database.read(_select_one)

    async def _purge(self, table: Table, now: datetime, condition: ColumnElement[bool] = ANY) -> int:
        purged, until = 0, EPOCH
        while until < now:
            batch = partial(_purge_batch, table=table, since=until, now=now, condition=condition)
            dropped, until = await self._database.write(batch)
            purged += dropped
        return purged


def _select_one(connection: Connection) -> None:
    connection.execute(select(sessions.c.id).limit(1))


def _insert(connection: Connection, session: Session, event: Event | None) -> None:
    started = {"started_event": encode_event(event), "has_events": 1} if event else {}
    connection.execute(INSERT, row_of(session) | started)


def _find(connection: Connection, session_id: str) -> Session | EndedSession | None:
    row = (connection.execute(select(sessions).where(sessions.c.id == session_id))).first()
    if row is None:
        ended = connection.execute(select(ended_sessions).where(ended_sessions.c.id == session_id)).first()
        return EndedSession(EndReason(ended.end_reason), ended.retain_until) if ended else None
    return EndedSession(EndReason(row.end_reason), row.retain_until) if row.end_reason else session_of(row)


def _touch(connection: Connection, session: Session) -> None:
    seen = {
        "last_seen_at": session.last_seen_at,
        "idle_expires_at": session.idle_expires_at,
        "retain_until": session.retain_until,
    }
    connection.execute(update(sessions).where(_has_not_ended(session)).values(seen))


def _of_user(connection: Connection, user_id: str) -> list[Session]:
    not_ended = select(sessions).where(sessions.c.user_id == user_id, sessions.c.end_reason.is_(None))
    return [session_of(row) for row in connection.execute(not_ended)]


def _end(
    connection: Connection, ids: Sequence[str], reason: EndReason, now: datetime, cause: Cause, writes_events: bool
) -> list[Event]:
    """End the sessions, and return the events of those that had not ended before. Locks in the order of ids."""
    not_ended = sessions.c.id.in_(ids) & sessions.c.end_reason.is_(None)
    rows = connection.execute(select(sessions).where(not_ended).order_by(sessions.c.id).with_for_update()).all()
    if not rows:
        return []
    ending = [session_of(row) for row in rows]
    events = [session.ended_event(reason, now, cause) for session in ending]
    latest = now + REASON_RETENTION
    values: dict[str, Any] = {
        "end_reason": reason.value,
        "retain_until": case((sessions.c.expires_at < latest, sessions.c.expires_at), else_=latest),
    }
    if writes_events:
        texts = {session.id: encode_event(event) for session, event in zip(ending, events, strict=True)}
        values |= {"ended_event": case(texts, value=sessions.c.id), "has_events": 1}
    connection.execute(update(sessions).where(sessions.c.id.in_([session.id for session in ending])).values(values))
    return events


def _move(connection: Connection, from_id: str, into_id: str) -> None:
    theirs = update(sessions).where(sessions.c.user_id == from_id, sessions.c.end_reason.is_(None))
    connection.execute(theirs.values(user_id=into_id))


def _purge_batch(
    connection: Connection, table: Table, since: datetime, now: datetime, condition: ColumnElement[bool]
) -> tuple[int, datetime]:
    """Delete the next BATCH rows past their retention that may go. Return how many, and until when none is left."""
    retain_until = table.c.retain_until
    expired = select(retain_until).where(retain_until.between(since, now), condition).order_by(retain_until)
    until = connection.scalar(expired.offset(BATCH - 1).limit(1)) or now
    return connection.execute(delete(table).where(retain_until.between(since, until), condition)).rowcount, until


def _has_not_ended(session: Session) -> Any:
    return (sessions.c.id == session.id) & sessions.c.end_reason.is_(None)
