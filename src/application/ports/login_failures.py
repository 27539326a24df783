"""Count failed logins."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from domain.login_failure import LoginFailure


class LoginFailures(Protocol):
    """Counts failed logins of all processes. Every method may raise StoreUnavailable."""

    @abstractmethod
    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """Add to the counts, all or none of them. Concurrent calls lose nothing."""

    @abstractmethod
    async def since(self, minute: datetime) -> dict[LoginFailure, int]:
        """Return the counts of this minute and of later ones."""

    @abstractmethod
    async def purge(self, before: datetime) -> int:
        """Delete the counts of earlier minutes, and return how many."""
