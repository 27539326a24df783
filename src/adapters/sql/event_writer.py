"""Write changes of the database together with their events."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from adapters.sql.database import Database
from adapters.sql.events import insert_events
from application.ports.events import Publish
from domain.event import Event, EventPolicy

T = TypeVar("T")

EventfulWork = Callable[[Connection, list[Event]], T]
"""Work in a transaction, which appends its events to the list. It may run several times."""


class EventWriter:
    """Runs work in transactions, inserts the events of the work there, and publishes them after the commit."""

    def __init__(self, database: Database, policy: EventPolicy, publish: Publish) -> None:
        self._database = database
        self._policy = policy
        self._publish = publish

    async def write(self, work: EventfulWork[T]) -> T:
        """Return the result of the work. Raises StoreUnavailable."""
        result, events = await self._database.write(lambda connection: self._run(connection, work))
        if events:
            self._publish(events)
        return result

    def _run(self, connection: Connection, work: EventfulWork[T]) -> tuple[T, list[Event]]:
        events: list[Event] = []
        result = work(connection, events)
        insert_events(connection, events, self._policy)
        return result, events
