"""Counts of failed logins in the memory of this process, for tests and for embedding."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from application.ports.login_failures import LoginFailures
from domain.login_failure import LoginFailure


class MemoryLoginFailures(LoginFailures):
    """LoginFailures of one process."""

    def __init__(self) -> None:
        self._counts = Counter[LoginFailure]()

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        self._counts.update(counts)

    async def since(self, minute: datetime) -> dict[LoginFailure, int]:
        """See LoginFailures."""
        return {failure: count for failure, count in self._counts.items() if failure.minute >= minute}

    async def purge(self, before: datetime) -> int:
        """See LoginFailures."""
        old = [failure for failure in self._counts if failure.minute < before]
        for failure in old:
            del self._counts[failure]
        return len(old)
