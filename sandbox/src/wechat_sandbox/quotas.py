"""Quotas of calls."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from wechat_sandbox.errors import WeChatError
from wechat_sandbox.lru import LruDict

MINUTE, DAY = 60, 24 * 3600
BEIJING = 8 * 3600
"""WeChat's days begin at midnight in Beijing."""
COUNTS_REMEMBERED = 10_000


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many calls of `path` are allowed in a minute of the sandbox's clock; null: no limit."""

    path: str
    per_minute: Annotated[int, msgspec.Meta(ge=0)] | None


class Limit:
    """A limit for each key: `limit` times in a period (seconds) of `now`, `errcode` beyond it."""

    def __init__(self, now: Callable[[], float], limit: int, period: int, errcode: int) -> None:
        self._now = now
        self._limit = limit
        self._period = period
        self._errcode = errcode
        self._counts: LruDict[str, tuple[int, int]] = LruDict(COUNTS_REMEMBERED)

    def count(self, key: str) -> None:
        """Count once. Raises WeChatError beyond the limit, without counting."""
        period = int(self._now() + BEIJING) // self._period
        counted, times = self._counts.get(key) or (period, 0)
        times = times + 1 if counted == period else 1
        if times > self._limit:
            raise WeChatError(self._errcode)
        self._counts[key] = (period, times)


class Quotas:
    """The quotas that a user of the controls set."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._limits: dict[str, Limit] = {}

    def set(self, quota: Quota) -> None:
        """Set the quota of its path, and reset its count."""
        self._limits.pop(quota.path, None)
        if quota.per_minute is not None:
            self._limits[quota.path] = Limit(self._now, quota.per_minute, MINUTE, 45011)

    def count(self, path: str) -> None:
        """Count a call of `path`. Raises WeChatError, 45011 beyond its quota."""
        if limit := self._limits.get(path):
            limit.count(path)
