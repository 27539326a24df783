"""Keep events."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from domain.event import Event, EventQuery

Publish = Callable[[Sequence[Event]], None]
"""Receives events after their change was stored, in the process that changed it. Metrics count so. Never raises.

A process that is killed does not call it: what must not be lost is read from Events.
"""


def ignore(events: Sequence[Event]) -> None:
    """Do nothing with the events: the Publish of those who count none."""


class Events(Protocol):
    """Keeps events: the audit trail, and what webhooks have to deliver. Every method may raise StoreUnavailable.

    An event about a user who was erased is kept without the address of the user, even if it is added after the erasure.

    Stores that share its database write events in the transaction of their change. EventPolicy says which are kept.
    """

    @abstractmethod
    async def add(self, events: Sequence[Event]) -> None:
        """Keep the events. Does nothing for those that are kept already."""

    @abstractmethod
    async def find(self, query: EventQuery) -> list[Event]:
        """Return events of the audit trail, newest first."""

    @abstractmethod
    async def purge(self, before: datetime) -> int:
        """Delete events of the audit trail that are older, in batches, and return how many."""
