"""Bring over the events that a session store wrote with its changes."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from domain.event import Event


class SessionEvents(Protocol):
    """Holds the events that a session store wrote with its changes, until they are added to Events.

    Every method may raise StoreUnavailable.
    """

    @abstractmethod
    async def relay(self, add: Callable[[Sequence[Event]], Awaitable[None]]) -> int:
        """Pass all events to `add` in batches, forget each batch after `add` returns, and return how many there were.

        When `add` raises, or the process is killed, the batch stays, and is passed again later. Several processes may
        call it at once: they pass events twice at most.
        """
