"""Keep pushes that wait for the database, and remember those that were handled."""

from abc import abstractmethod
from datetime import timedelta
from typing import Protocol

from domain.push import Push


class PushStore(Protocol):
    """Keeps pushes. Every method may raise StoreUnavailable."""

    @abstractmethod
    async def was_handled(self, push_id: str) -> bool:
        """Return whether `mark_handled` was called for this push and its time is not over."""

    @abstractmethod
    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """Remember for this time that the push was handled."""

    @abstractmethod
    async def postpone(self, push: Push) -> bool:
        """Keep the push until `remove`, and return whether it outlives this process. Idempotent."""

    @abstractmethod
    async def postponed(self) -> list[Push]:
        """Return pushes that are kept, 100 or so at most."""

    @abstractmethod
    async def remove(self, push: Push) -> None:
        """Remove the push. Idempotent."""
