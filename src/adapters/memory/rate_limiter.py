"""Rate limits in this process's memory: for a service without Redis, each of whose processes counts for itself."""

from datetime import datetime

from application.ports import Clock, RateLimiter
from domain.rate_limit import NONE, Allowance, RateLimit

SWEPT = 1000
"""How many are kept before those whose quota is whole again are looked for."""


class MemoryRateLimiter(RateLimiter):
    """A RateLimiter of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._whole_at: dict[tuple[RateLimit, str], datetime] = {}
        self._sweep_beyond = SWEPT

    async def take(self, limit: RateLimit, who: str) -> Allowance:
        """See RateLimiter."""
        now = self._clock()
        debt = max(self._whole_at.get((limit, who), now) - now, NONE)
        allowance = limit.take(debt)
        self._whole_at[limit, who] = now + allowance.debt
        if len(self._whole_at) > self._sweep_beyond:
            self._sweep(now)
        return allowance

    def _sweep(self, now: datetime) -> None:
        """Forget whose quota is whole, next when there are twice as many: so it costs a call next to nothing."""
        self._whole_at = {key: whole_at for key, whole_at in self._whole_at.items() if whole_at > now}
        self._sweep_beyond = max(SWEPT, 2 * len(self._whole_at))
