"""Limit rates."""

from abc import abstractmethod
from typing import Protocol

from domain.rate_limit import Allowance, RateLimit


class RateLimiter(Protocol):
    """Counts requests against rate limits."""

    @abstractmethod
    async def take(self, limit: RateLimit, subject: str) -> Allowance:
        """Take one request from the quota of `subject`, and return whether it is admitted. A refusal takes nothing.

        Atomic in one process, and among all processes if the adapter shares its counts: concurrent calls are never
        admitted beyond the limit. Raises StoreUnavailable.
        """
