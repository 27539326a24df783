"""Pushes in the memory of this process, for a service without Redis."""

from datetime import datetime, timedelta

from application.ports.clock import Clock
from application.ports.push_store import PushStore
from domain.push import Push

MAX_PUSHES = 10_000
"""How many pushes are remembered, and how many are kept. Beyond that, the oldest is dropped."""

BATCH = 100


class MemoryPushStore(PushStore):
    """A PushStore of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._handled: dict[str, datetime] = {}
        self._postponed: dict[str, Push] = {}

    async def was_handled(self, push_id: str) -> bool:
        """See PushStore."""
        return push_id in self._handled and self._handled[push_id] > self._clock()

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""
        self._handled.pop(push_id, None)  # the newest is last
        self._handled[push_id] = self._clock() + retention
        _drop_oldest(self._handled)

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        self._postponed[push.id] = push
        _drop_oldest(self._postponed)
        return False

    async def postponed(self) -> list[Push]:
        """See PushStore."""
        return list(self._postponed.values())[:BATCH]

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        self._postponed.pop(push.id, None)


def _drop_oldest(kept: dict[str, datetime] | dict[str, Push]) -> None:
    if len(kept) > MAX_PUSHES:
        del kept[next(iter(kept))]
