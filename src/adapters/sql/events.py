"""Events in a database: the audit trail, and the deliveries of webhooks."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select

from adapters.sql.database import BATCH, Database
from adapters.sql.event_records import encode_event
from adapters.sql.tables import audit_events, merges, users, webhook_deliveries
from adapters.sql.upsert import insert_missing
from application.ports.events import Events
from domain.event import Event, EventPolicy, EventQuery, EventType

COLUMNS = ("id", "time", "type", "actor", "user_id", "session_id", "app", "ip", "reason")


class SqlEvents(Events):
    """Events on the database of the users."""

    def __init__(self, database: Database, policy: EventPolicy) -> None:
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
        purged, remains = 0, True
        while remains:
            count, remains = await self._database.write(partial(_purge_batch, before=before))
            purged += count
        return purged


def insert_events(connection: Connection, events: Sequence[Event], policy: EventPolicy) -> None:
    """Add the events, and their deliveries, in the transaction of the connection, as the policy says.

    Does nothing for those that are there already. Sends one statement for each of the two tables, and none for a table
    without rows.

    Events about users who were erased lose the address of the user.
    """
    erased = _find_erased(connection, {e.user_id for e in events if e.user_id and e.has_address_of_user})
    kept = [each.without_address_of_user() if each.user_id in erased else each for each in events]
    kept.sort(key=lambda event: event.id)  # in one order, concurrent calls with the same events do not deadlock
    audited = [_row(event) for event in kept if policy.audits(event.type)]
    if audited:
        insert_missing(connection, audit_events, audited)
    due = [_delivery(endpoint, event) for event in kept for endpoint in policy.subscribers(event.type)]
    if due:
        insert_missing(connection, webhook_deliveries, due)


def _find_erased(connection: Connection, user_ids: set[str]) -> set[str]:
    """Return which of the users were erased. The others, and those merged into them, are locked against an erasure."""
    if not user_ids:
        return set()
    alive = select(users.c.id).where(users.c.id.in_(user_ids)).order_by(users.c.id)
    locked = set(connection.scalars(alive.with_for_update(read=True, key_share=True)))
    merged = select(merges.c.from_id).where(merges.c.from_id.in_(user_ids - locked)).order_by(merges.c.from_id)
    locked |= set(connection.scalars(merged.with_for_update(read=True, key_share=True)))
    if not (others := user_ids - locked):
        return set()
    event = audit_events.c
    marks = select(event.user_id).where(event.user_id.in_(others), event.type == EventType.USER_ERASED.value)
    return set(connection.scalars(marks))


def _row(event: Event) -> dict[str, Any]:
    return {column: getattr(event, column) for column in COLUMNS} | {"type": event.type.value}


def _delivery(endpoint: str, event: Event) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "event_id": event.id,
        "event": encode_event(event),
        "event_time": event.time,
        "attempts": 0,
        "due_at": event.time,
        "user_id": event.user_id,
    }


def _find(connection: Connection, query: EventQuery) -> list[Event]:
    if query.actor is not None and not _may_be_stored(query.actor):
        return []
    return [_event(row) for row in connection.execute(statement_of(query))]


def _may_be_stored(actor: str) -> bool:
    """Return whether an event can have this actor. Databases raise an error for NUL and for half a surrogate pair.

    No actor has a blank at its end, which MySQL ignores.
    """
    return "\0" not in actor and not actor.endswith(" ") and actor.encode(errors="ignore").decode() == actor


def statement_of(query: EventQuery) -> Select[Any]:
    """Return the statement of a query. Each filter has an index in the order of the result."""
    event = audit_events.c
    statement = select(audit_events).order_by(event.time.desc(), event.id.desc()).limit(query.limit)
    for column, value in ((event.user_id, query.user_id), (event.type, query.type), (event.actor, query.actor)):
        if value is not None:
            statement = statement.where(column == value)
    if query.since:
        statement = statement.where(event.time >= query.since)
    if query.before:
        time, event_id = query.before  # not as a tuple: MySQL finds no index for that
        statement = statement.where(event.time <= time, (event.time < time) | (event.id < event_id))
    return statement


def _event(row: Row[Any]) -> Event:
    return Event(**{**{column: getattr(row, column) for column in COLUMNS}, "type": EventType(row.type)})


def _purge_batch(connection: Connection, before: datetime) -> tuple[int, bool]:
    """Delete the oldest BATCH events that are older. Return how many, and whether there may be more."""
    time = audit_events.c.time
    oldest = select(time).where(time < before).order_by(time).offset(BATCH - 1).limit(1)
    until = connection.scalar(oldest)
    is_old = time < before if until is None else time <= until
    return connection.execute(delete(audit_events).where(is_old)).rowcount, until is not None
