"""A counter for the token check: counts in plain integers, and adds them to the library's counter once a second."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from threading import Lock

from prometheus_client import Counter

from entrypoints.periodic import flushing

FLUSH_SECONDS = 1.0
"""How often counts are written. A process that is killed loses the counts of this time at most."""


class BufferedCounter:
    """A counter with one label, whose values are known in advance.

    Callers add to `counts`, by the label's value, in one thread. That takes 0.1 us; the library's counter takes 0.8 us
    in one process and 2 us in several.
    """

    def __init__(self, counter: Counter, values: Iterable[str]) -> None:
        self._children = {value: counter.labels(value) for value in values}
        self.counts = dict.fromkeys(self._children, 0)
        self._flushed = dict.fromkeys(self._children, 0)
        self._lock = Lock()

    def flush(self) -> None:
        """Add the counts since the last flush to the library's counter. Thread-safe."""
        with self._lock:
            for value, child in self._children.items():
                count = self.counts[value]
                if more := count - self._flushed[value]:
                    child.inc(more)
                    self._flushed[value] = count


def flushing_counts(counter: BufferedCounter) -> AbstractAsyncContextManager[None]:
    """Flush every FLUSH_SECONDS while the block runs, and at its end."""

    async def flush() -> None:
        counter.flush()

    return flushing(flush, FLUSH_SECONDS, "metrics")
