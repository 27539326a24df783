"""The clock of the sandbox, which can be advanced."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from wechat_sandbox.errors import ControlRefused

MAX_ADVANCE_SECONDS = 10 * 365 * 24 * 3600


class Clock:
    """The time of `source` (Unix seconds, by default the machine's) plus all that it was advanced by."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._advanced = 0.0

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return self._source() + self._advanced

    def unmoved(self) -> float:
        """Return the time of the source in Unix seconds, which is that of callers, too."""
        return self._source()

    def advance(self, seconds: float) -> None:
        """Advance by `seconds`. Raises ControlRefused for a negative step, and beyond ten years in total."""
        if not 0 <= seconds <= MAX_ADVANCE_SECONDS - self._advanced:
            raise ControlRefused(
                f"advance_seconds is {seconds:g}; the clock only moves forwards, by {MAX_ADVANCE_SECONDS} "
                f"seconds in all, of which {self._advanced:g} are used"
            )
        self._advanced += seconds


def rfc3339(unix: float) -> str:
    """Return `unix` seconds as RFC 3339 in UTC, with milliseconds: `2022-11-16T08:38:10.000Z`."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
