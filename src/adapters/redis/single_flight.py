"""One answer for all who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """Calls `ask` once for all who call while it runs. It has to end by itself: who is cancelled does not cancel it."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[Answer] | None = None

    def __call__(self) -> Awaitable[Answer]:
        """What `ask` returns or raises."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._done)
        return asyncio.shield(self._asking)

    def _done(self, task: "asyncio.Task[Answer]") -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # seen, even if all who waited are gone
