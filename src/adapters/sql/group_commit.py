"""Group commit: what callers want written while a transaction is under way shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from adapters.sql.connections import T, Work

TOGETHER = 100
"""How many pieces of work share a transaction at most. Whoever writes from another process waits for all of them."""


class Waiting(NamedTuple):
    """Work that waits for its transaction, and where its caller waits for what comes of it."""

    work: Work[Any]
    outcome: asyncio.Future[Any]


class GroupCommit:
    """Has one transaction under way at a time, in the order of the calls.

    `transact` runs pieces of work in one transaction, all or none, and returns what each returned.
    """

    def __init__(self, transact: Callable[[Sequence[Work[Any]]], Awaitable[list[Any]]]) -> None:
        self._transact = transact
        self._queue: list[Waiting] = []
        self._emptying: asyncio.Task[None] | None = None

    async def __call__(self, work: Work[T]) -> T:
        """Run it in a transaction, which has been committed on return. Raises what the work or the commit raises.

        The work may run twice: when others fail that share its transaction, each runs again in one of its own. It does
        not run if its caller gave up before its turn.
        """
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(work, outcome))
        if self._emptying is None:
            self._emptying = asyncio.create_task(self._empty())
        return await outcome

    async def _empty(self) -> None:
        try:
            while self._queue:
                together, self._queue = self._queue[:TOGETHER], self._queue[TOGETHER:]
                await self._write(together)
        finally:
            self._emptying = None

    async def _write(self, together: Sequence[Waiting]) -> None:
        waiting = [each for each in together if not each.outcome.done()]
        if not waiting:
            return
        try:
            results = await self._transact([each.work for each in waiting])
        except Exception as error:  # noqa: BLE001  # it is its caller's
            if len(waiting) > 1:
                for each in waiting:
                    await self._write([each])
            elif not waiting[0].outcome.done():
                waiting[0].outcome.set_exception(error)
            return
        for each, result in zip(waiting, results, strict=True):
            if not each.outcome.done():
                each.outcome.set_result(result)
