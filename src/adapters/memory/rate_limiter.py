"""Rate limits in the memory of this process, for a service without Redis. Each process counts by itself."""

from datetime import datetime

from application.ports.clock import Clock
from application.ports.rate_limiter import RateLimiter
from domain.rate_limit import NONE, Allowance, RateLimit

SWEPT = 1000
"""How many entries are kept before the first search for those whose quota is restored."""


class MemoryRateLimiter(RateLimiter):
    """A RateLimiter of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._whole_at: dict[tuple[RateLimit, str], datetime] = {}
        self._sweep_beyond = SWEPT

    async def take(self, limit: RateLimit, subject: str) -> Allowance:
        """See RateLimiter."""
        now = self._clock()
        debt = max(self._whole_at.get((limit, subject), now) - now, NONE)
        allowance = limit.take(debt)
        self._whole_at[limit, subject] = now + allowance.debt
        if len(self._whole_at) > self._sweep_beyond:
            self._sweep(now)
        return allowance

    def _sweep(self, now: datetime) -> None:
        """Delete entries whose quota is restored. Runs again at twice as many, so that a call costs little."""
        self._whole_at = {key: whole_at for key, whole_at in self._whole_at.items() if whole_at > now}
        self._sweep_beyond = max(SWEPT, 2 * len(self._whole_at))
