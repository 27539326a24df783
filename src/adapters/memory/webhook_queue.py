"""Deliveries of webhooks in the memory of this process, for tests and for embedding."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.ports.webhook_queue import WebhookQueue
from domain.event import Event
from domain.webhook import Backlog, Delivery


@dataclass
class _Waiting:
    delivery: Delivery
    due_at: datetime


class MemoryWebhookQueue(WebhookQueue):
    """A WebhookQueue of one process."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], _Waiting] = {}

    def add(self, endpoint: str, event: Event) -> None:
        """Add a delivery, unless it is there."""
        self._waiting.setdefault((endpoint, event.id), _Waiting(Delivery(endpoint, event, 0), event.time))

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        due = [each for (of, _), each in self._waiting.items() if of == endpoint and each.due_at <= now]
        claimed = sorted(due, key=lambda each: each.due_at)[:limit]
        for each in claimed:
            each.due_at = now + lease
        return [each.delivery for each in claimed]

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """See WebhookQueue."""
        for delivery in deliveries:
            self._waiting.pop((delivery.endpoint, delivery.event.id), None)

    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """See WebhookQueue."""
        if each := self._waiting.get((delivery.endpoint, delivery.event.id)):
            each.delivery = replace(each.delivery, attempts=each.delivery.attempts + 1)
            each.due_at = until

    async def remove_others(self, endpoints: Collection[str], before: datetime) -> int:
        """See WebhookQueue."""
        old = [
            each.delivery
            for (endpoint, _), each in self._waiting.items()
            if endpoint not in endpoints and each.delivery.event.time < before
        ]
        await self.remove(old)
        return len(old)

    async def backlog(self) -> dict[str, Backlog]:
        """See WebhookQueue."""
        times: dict[str, list[datetime]] = {}
        for (endpoint, _), each in self._waiting.items():
            times.setdefault(endpoint, []).append(each.delivery.event.time)
        return {endpoint: Backlog(len(all_times), min(all_times)) for endpoint, all_times in times.items()}
