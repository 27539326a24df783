"""Do what concurrent calls ask for once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedTasks(Generic[K, T]):
    """Tasks that concurrent calls share: at most one at a time for each key."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        """Return how many tasks are under way."""
        return len(self._running)

    def start(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return the task of the key under way, after starting `work` if there is none."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._finish(key, done))
        return task

    async def wait(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of the task, and raise its error. Cancelling one caller does not end the task."""
        return await asyncio.shield(self.start(key, work))

    async def aclose(self) -> None:
        """Cancel the tasks under way, and wait until they have ended."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, key: K, done: asyncio.Task[T]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # the callers raise it, if any is left
