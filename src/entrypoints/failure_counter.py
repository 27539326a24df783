"""Count failed logins in this process, and add the counts to those of all processes every few seconds."""

from collections import Counter
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from application.ports.clock import Clock
from application.ports.login_failures import LoginFailures
from domain.errors import WxLoginError
from domain.login_failure import RETENTION, LoginFailure
from entrypoints.periodic import flushing
from entrypoints.problems import code_of

FLUSH_SECONDS = 5.0
"""How often counts are added. A process that is killed loses the counts of this time at most."""

MAX_KINDS = 1000
"""How many different failures are counted while the store does not answer. Others are dropped: memory is bounded."""


class FailureCounter:
    """Counts failed logins until they are flushed. `failures` receives them."""

    def __init__(self, failures: LoginFailures, clock: Clock) -> None:
        self._failures = failures
        self._clock = clock
        self._counts = Counter[LoginFailure]()

    def count(self, app: str | None, error: Exception) -> None:
        """Count a failed login. `app` is one of the configured apps, if it is known."""
        errcode = error.errcode if isinstance(error, WxLoginError) else None
        self._add(LoginFailure(_minute(self._clock()), app, code_of(error), errcode), 1)

    async def flush(self) -> None:
        """Add the counts to those of all processes. If it fails, keep them. Raises StoreUnavailable."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._failures.add(counts)
        except BaseException:  # also when the task is cancelled
            oldest = _minute(self._clock()) - RETENTION
            for failure, count in counts.items():
                if failure.minute >= oldest:
                    self._add(failure, count)
            raise

    def _add(self, failure: LoginFailure, count: int) -> None:
        if failure in self._counts or len(self._counts) < MAX_KINDS:
            self._counts[failure] += count


def flushing_failures(counter: FailureCounter) -> AbstractAsyncContextManager[None]:
    """Flush every FLUSH_SECONDS while the block runs, and at its end."""
    return flushing(counter.flush, FLUSH_SECONDS, "login_failures")


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
