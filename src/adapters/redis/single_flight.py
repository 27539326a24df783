"""Share the result of a call among all that wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Runs a call once for all that arrive while it runs. Cancelling one of them does not cancel the call."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        self._call = call
        self._running: asyncio.Task[Result] | None = None

    def __call__(self) -> Awaitable[Result]:
        """Return or raise what the call does."""
        if self._running is None:
            self._running = asyncio.create_task(self._call())
            self._running.add_done_callback(self._done)
        return asyncio.shield(self._running)

    def _done(self, task: "asyncio.Task[Result]") -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # mark it as retrieved: otherwise asyncio logs it if every waiter was cancelled
