"""Rate limits, by the generic cell rate algorithm."""

from dataclasses import dataclass
from datetime import timedelta

NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`quota` in a `window`, counted under a `name`.

    The whole quota may be used at once. It is restored evenly, one request each `interval`: a constant load gets
    `quota` requests for each window, and up to twice as many in the first. This is the generic cell rate algorithm
    (ITU-T I.371). Its only state is the debt: the time until the whole quota is restored.
    """

    name: str
    quota: int
    window: timedelta

    @property
    def interval(self) -> timedelta:
        """Return the time in which one request is restored: whole microseconds, so that sums are exact."""
        return max(self.window // self.quota, timedelta.resolution)

    @property
    def capacity(self) -> timedelta:
        """Return the debt of a quota that is used up."""
        return self.interval * self.quota

    def take(self, debt: timedelta) -> "Allowance":
        """Return the allowance after one more request at this debt. A refused request adds no debt."""
        more = debt + self.interval
        return Allowance(self, more <= self.capacity, more if more <= self.capacity else debt)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The result of a request for quota: whether it was admitted, and what is left."""

    limit: RateLimit
    admitted: bool
    debt: timedelta

    @property
    def remaining(self) -> int:
        """Return how many requests are left."""
        return max((self.limit.capacity - self.debt) // self.limit.interval, 0)

    @property
    def wait(self) -> timedelta:
        """Return the time until the next request is admitted; zero while some are left."""
        return max(self.debt + self.limit.interval - self.limit.capacity, NONE)
