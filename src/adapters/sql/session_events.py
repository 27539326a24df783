"""Relay the events that SqlSessionStore wrote into the rows of its sessions."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select, update

from adapters.sql.database import BATCH, Database
from adapters.sql.event_records import decode_event
from adapters.sql.tables import sessions
from application.ports.session_events import SessionEvents
from domain.event import Event

logger = logging.getLogger("wxlogin.session_events")

EVENTS = (sessions.c.started_event, sessions.c.ended_event)


class SqlSessionEvents(SessionEvents):
    """The SessionEvents of SqlSessionStore.

    An event of a newer release that this one cannot read waits for a process of that release, with the other event of
    its session.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_warned = False

    async def relay(self, add: Callable[[Sequence[Event]], Awaitable[None]]) -> int:
        """See SessionEvents."""
        relayed, unreadable = 0, set[str]()
        while rows := await self._read(unreadable):
            by_session = {row.id: _events_of(row) for row in rows}
            unreadable |= {session_id for session_id, events in by_session.items() if events is None}
            if passed := [event for events in by_session.values() for event in events or ()]:
                await add(passed)
                relayed += len(passed)
            readable = [row for row in rows if row.id not in unreadable]
            if readable and not await self._database.write(partial(_forget, rows=readable)):
                break  # other processes do it
        return relayed

    async def _read(self, unreadable: AbstractSet[str]) -> list[Row[Any]]:
        """Return a batch of rows with events, without those that are known to be unreadable."""
        if unreadable and not self._has_warned:
            self._has_warned = True
            logger.warning("cannot read a record, which a newer release may have written: %s", "sessions")
        rows = await self._database.read(partial(_read, limit=BATCH + len(unreadable)))
        return [row for row in rows if row.id not in unreadable]


def _events_of(row: Row[Any]) -> list[Event] | None:
    """Return the events in the row, or None if a newer release wrote one that this one cannot read."""
    try:
        return [decode_event(text) for text in (row.started_event, row.ended_event) if text]
    except ValueError:
        return None


def _read(connection: Connection, limit: int) -> list[Row[Any]]:
    statement = select(sessions.c.id, *EVENTS).where(sessions.c.has_events == 1).limit(limit)
    return list(connection.execute(statement))


def _forget(connection: Connection, rows: Sequence[Row[Any]]) -> int:
    """Remove the events of the rows, and return of how many. A row whose session ended meanwhile keeps both."""
    forgotten = 0
    for end_was_read in (True, False):
        ids = [row.id for row in rows if (row.ended_event is not None) is end_was_read]
        if ids:
            unchanged = sessions.c.id.in_(ids) & (sessions.c.has_events == 1)
            if not end_was_read:
                unchanged &= sessions.c.ended_event.is_(None)
            emptied = {"started_event": None, "ended_event": None, "has_events": None}
            forgotten += connection.execute(update(sessions).where(unchanged).values(emptied)).rowcount
    return forgotten
