"""Relay the events that SqlSessionStore wrote into the rows of its sessions."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select, update

from adapters.sql.database import BATCH, Database
from adapters.sql.event_records import decode_event
from adapters.sql.tables import sessions
from application.ports.session_events import SessionEvents
from domain.event import Event

EVENTS = (sessions.c.started_event, sessions.c.ended_event)


class SqlSessionEvents(SessionEvents):
    """The SessionEvents of SqlSessionStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def relay(self, add: Callable[[Sequence[Event]], Awaitable[None]]) -> int:
        """See SessionEvents."""
        relayed = 0
        while rows := await self._database.read(_read):
            events = [decode_event(text) for row in rows for text in (row.started_event, row.ended_event) if text]
            await add(events)
            relayed += len(events)
            if not await self._database.write(partial(_forget, rows=rows)):
                break  # other processes do it
        return relayed


def _read(connection: Connection) -> list[Row[Any]]:
    statement = select(sessions.c.id, *EVENTS).where(sessions.c.has_events == 1).limit(BATCH)
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
