"""A counter for the token check: counts in plain integers, and adds them to the library's counter once a second."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from threading import Lock

from prometheus_client import Counter

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


@asynccontextmanager
async def flushing(counter: BufferedCounter) -> AsyncIterator[None]:
    """Flush every FLUSH_SECONDS while the block runs, and at its end."""
    task = asyncio.create_task(_flush(counter))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        counter.flush()


async def _flush(counter: BufferedCounter) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        counter.flush()
