"""Events in the memory of this process, for tests and for embedding."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from application.ports.events import Events
from domain.event import Event, EventPolicy, EventQuery, EventType
from domain.webhook import Delivery


class MemoryEvents(Events):
    """Events of one process. `deliveries` has what webhooks have to deliver, by endpoint and id of the event."""

    def __init__(self, policy: EventPolicy) -> None:
        self.deliveries: dict[tuple[str, str], Delivery] = {}
        self._policy = policy
        self._audited: dict[str, Event] = {}
        self._erased: set[str] = set()

    async def add(self, events: Sequence[Event]) -> None:
        """See Events."""
        for each in events:
            if each.type is EventType.USER_ERASED and each.user_id:
                self._forget_addresses(each.user_id)
            event = each.without_address_of_user() if each.user_id in self._erased else each
            if self._policy.audits(event.type):
                self._audited.setdefault(event.id, event)
            for endpoint in self._policy.subscribers(event.type):
                self.deliveries.setdefault((endpoint, event.id), Delivery(endpoint, event, attempts=0))

    async def find(self, query: EventQuery) -> list[Event]:
        """See Events."""
        found = [event for event in self._audited.values() if _matches(event, query)]
        return sorted(found, key=_order, reverse=True)[: query.limit]

    def _forget_addresses(self, user_id: str) -> None:
        self._erased.add(user_id)
        for event_id, event in self._audited.items():
            if event.user_id == user_id:
                self._audited[event_id] = event.without_address_of_user()
        for key, delivery in self.deliveries.items():
            if delivery.event.user_id == user_id:
                self.deliveries[key] = replace(delivery, event=delivery.event.without_address_of_user())

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
