"""How often something may happen."""

from dataclasses import dataclass
from datetime import timedelta

NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`quota` in a `window`, counted under a `name`.

    All of it may be taken at once; it comes back evenly, one an `interval`. So whoever keeps taking gets `quota` a
    window, and up to twice that in the first. This is the generic cell rate algorithm (ITU-T I.371): all there is to
    know of somebody is their debt, the time until their whole quota is back.
    """

    name: str
    quota: int
    window: timedelta

    @property
    def interval(self) -> timedelta:
        """How long it takes until one is back, in whole microseconds: then no sum of them is a rounding error off."""
        return max(self.window // self.quota, timedelta.resolution)

    @property
    def capacity(self) -> timedelta:
        """The debt of one who has taken all."""
        return self.interval * self.quota

    def take(self, debt: timedelta) -> "Allowance":
        """One more taken by somebody with this debt, unless nothing is left."""
        more = debt + self.interval
        return Allowance(self, more <= self.capacity, more if more <= self.capacity else debt)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What somebody has left of a limit after an attempt to take one, and whether they got it."""

    limit: RateLimit
    admitted: bool
    debt: timedelta

    @property
    def remaining(self) -> int:
        """How many are left."""
        return max((self.limit.capacity - self.debt) // self.limit.interval, 0)

    @property
    def wait(self) -> timedelta:
        """How long it takes until there is one to take; nothing, while some are left."""
        return max(self.debt + self.limit.interval - self.limit.capacity, NONE)
