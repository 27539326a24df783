"""The audit trail in the database of the users."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, or_, select

from adapters.sql.database import BATCH, Database
from adapters.sql.event_records import insert_events
from adapters.sql.tables import audit_events
from application.ports.events import Events
from domain.event import DEFAULT_POLICY, Event, EventPolicy, EventQuery, EventType


class SqlEvents(Events):
    """The Events of a database."""

    def __init__(self, database: Database, policy: EventPolicy = DEFAULT_POLICY) -> None:
        self._database = database
        self._policy = policy

    async def add(self, events: Sequence[Event]) -> None:
        """See Events."""
        await self._database.write(partial(insert_events, events=events, policy=self._policy))

    async def find(self, query: EventQuery) -> list[Event]:
        """See Events."""
        return await self._database.read(partial(_find, query=query))

    async def purge(self, before: datetime) -> int:
        """See Events."""
        purged = 0
        while count := await self._database.write(partial(_purge_batch, before=before)):
            purged += count
        return purged


def _find(connection: Connection, query: EventQuery) -> list[Event]:
    event = audit_events.c
    exact = {"user_id": query.user_id, "type": query.type, "actor": query.actor}
    conditions = [event[name] == value for name, value in exact.items() if value is not None]
    if query.since:
        conditions.append(event.time >= query.since)
    if query.before:
        time, event_id = query.before
        conditions.append(or_(event.time < time, and_(event.time == time, event.id < event_id)))
    newest_first = select(audit_events).where(*conditions).order_by(event.time.desc(), event.id.desc())
    return [_event(row) for row in connection.execute(newest_first.limit(query.limit))]


def _purge_batch(connection: Connection, before: datetime) -> int:
    old = select(audit_events.c.id).where(audit_events.c.time < before).limit(BATCH)
    ids = connection.scalars(old).all()
    return connection.execute(delete(audit_events).where(audit_events.c.id.in_(ids))).rowcount if ids else 0


def _event(row: Row[Any]) -> Event:
    return Event(
        row.id, row.time, EventType(row.type), row.actor, row.user_id, row.session_id, row.app, row.ip, row.reason
    )
