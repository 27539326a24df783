"""Pushes in the memory of this process, for a service without Redis."""

from datetime import timedelta

from cachetools import FIFOCache, TLRUCache

from application.ports.clock import Clock
from application.ports.push_store import PushStore
from domain.push import Push

MAX_PUSHES = 10_000
"""How many pushes are remembered, and how many are kept. Beyond that, the oldest is dropped."""

BATCH = 100


class MemoryPushStore(PushStore):
    """A PushStore of one process."""

    def __init__(self, clock: Clock) -> None:
        self._handled = TLRUCache[str, timedelta](MAX_PUSHES, ttu=_until, timer=lambda: clock().timestamp())
        self._postponed = FIFOCache[str, Push](MAX_PUSHES)

    async def was_handled(self, push_id: str) -> bool:
        """See PushStore."""
        return push_id in self._handled

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""
        self._handled[push_id] = retention

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        self._postponed[push.id] = push
        return False

    async def postponed(self) -> list[Push]:
        """See PushStore."""
        return list(self._postponed.values())[:BATCH]

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        self._postponed.pop(push.id, None)


def _until(_push_id: str, retention: timedelta, now: float) -> float:
    return now + retention.total_seconds()
