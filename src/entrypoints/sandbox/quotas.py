"""How often a thing may be done."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from entrypoints.sandbox.errors import WeChatError
from entrypoints.sandbox.lru import LruDict

MINUTE, DAY = 60, 24 * 3600
BEIJING = 8 * 3600
"""WeChat's days begin at midnight in Beijing."""
COUNTS_REMEMBERED = 10_000


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many calls of `path` one minute of the sandbox's clock allows; null: any number."""

    path: str
    per_minute: Annotated[int, msgspec.Meta(ge=0)] | None


class Limit:
    """At most `limit` times a period (seconds) of `now` for each key, and `errcode` beyond it."""

    def __init__(self, now: Callable[[], float], limit: int, period: int, errcode: int) -> None:
        self._now = now
        self._limit = limit
        self._period = period
        self._errcode = errcode
        self._counts: LruDict[str, tuple[int, int]] = LruDict(COUNTS_REMEMBERED)

    def count(self, key: str) -> None:
        """Once more. Raises WeChatError when that is too often; such a time does not count."""
        period = int(self._now() + BEIJING) // self._period
        counted, times = self._counts.get(key) or (period, 0)
        times = times + 1 if counted == period else 1
        if times > self._limit:
            raise WeChatError(self._errcode)
        self._counts[key] = (period, times)


class Quotas:
    """The quotas that the sandbox's user gave to some of WeChat's calls."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._limits: dict[str, Limit] = {}

    def set(self, quota: Quota) -> None:
        """Let `quota` be the only one of its path, from a count of nothing."""
        self._limits.pop(quota.path, None)
        if quota.per_minute is not None:
            self._limits[quota.path] = Limit(self._now, quota.per_minute, MINUTE, 45011)

    def count(self, path: str) -> None:
        """One call of `path`. Raises WeChatError, 45011 beyond its quota."""
        if limit := self._limits.get(path):
            limit.count(path)
