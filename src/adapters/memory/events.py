"""Events in the memory of this process, for tests and for embedding."""

from collections.abc import Sequence
from datetime import datetime

from application.ports.events import Events
from domain.event import Event, EventPolicy, EventQuery
from domain.webhook import Delivery


class MemoryEvents(Events):
    """Events of one process. `deliveries` has what webhooks have to deliver, by endpoint and id of the event."""

    def __init__(self, policy: EventPolicy) -> None:
        self.deliveries: dict[tuple[str, str], Delivery] = {}
        self._policy = policy
        self._audited: dict[str, Event] = {}

    async def add(self, events: Sequence[Event]) -> None:
        """See Events."""
        for event in events:
            if self._policy.audits(event.type):
                self._audited.setdefault(event.id, event)
            for endpoint in self._policy.subscribers(event.type):
                self.deliveries.setdefault((endpoint, event.id), Delivery(endpoint, event, attempts=0))

    async def find(self, query: EventQuery) -> list[Event]:
        """See Events."""
        found = [event for event in self._audited.values() if _matches(event, query)]
        return sorted(found, key=_order, reverse=True)[: query.limit]

    async def purge(self, before: datetime) -> int:
        """See Events."""
        old = [event.id for event in self._audited.values() if event.time < before]
        for event_id in old:
            del self._audited[event_id]
        return len(old)


def _order(event: Event) -> tuple[datetime, str]:
    return event.time, event.id


def _matches(event: Event, query: EventQuery) -> bool:
    return (
        query.user_id in (None, event.user_id)
        and query.type in (None, event.type)
        and query.actor in (None, event.actor)
        and (query.since is None or event.time >= query.since)
        and (query.before is None or _order(event) < query.before)
    )
