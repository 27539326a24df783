"""Queue what webhooks have to deliver."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from domain.webhook import Backlog, Delivery


class WebhookQueue(Protocol):
    """Queues deliveries, which Events adds with their events. Every method may raise StoreUnavailable."""

    @abstractmethod
    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """Return deliveries that are due, the longest due first. Others do not get them before `lease` is over.

        Of concurrent calls, one gets each delivery.
        """

    @abstractmethod
    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """Remove deliveries that succeeded or are given up. Idempotent."""

    @abstractmethod
    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """Count a failed attempt, and make the delivery due at `until`."""

    @abstractmethod
    async def remove_others(self, endpoints: Collection[str], before: datetime) -> int:
        """Remove deliveries of other endpoints whose events are older than `before`, and return how many.

        Those of newer events stay, because another process may have endpoints that this one does not know yet.
        """

    @abstractmethod
    async def backlog(self) -> dict[str, Backlog]:
        """Return what waits, by endpoint."""
