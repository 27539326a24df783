"""Reads that share a round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")


class BatchingReader(Generic[V]):
    """Reads of concurrent requests travel together: while one batch is on its way, the next one collects.

    `read` asks for some keys at once, and answers with the values of those that exist.
    """

    def __init__(self, read: Callable[[set[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._read = read
        self._waiting: list[tuple[str, asyncio.Future[V | None]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def get(self, key: str) -> V | None:
        """The value of `key`, or None: what it was at some time after the call. Raises what `read` raises."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await future

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._answer(batch)
        finally:
            self._sender = None

    async def _answer(self, batch: list[tuple[str, asyncio.Future[V | None]]]) -> None:
        try:
            values = await self._read({key for key, _ in batch})
        except Exception as error:  # noqa: BLE001  # whatever it is, each of those who wait has to hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for key, future in batch:
                if not future.done():
                    future.set_result(values.get(key))
