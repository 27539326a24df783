"""Reads that share a round trip."""

import asyncio
from typing import Any

from redis.asyncio import Redis

Waiting = tuple[str, asyncio.Future[bytes | None]]


class BatchingReader:
    """GETs of concurrent requests travel as one MGET: while one is on its way, the next one collects.

    Beside a GET a request, this costs the processor a third, and needs one connection. A cluster's client has
    `mget_nonatomic`, which asks each slot by itself.
    """

    def __init__(self, redis: Redis) -> None:
        self._mget = getattr(redis, "mget_nonatomic", redis.mget)
        self._waiting: list[Waiting] = []
        self._sender: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """The value of `key`, or None. Raises what redis-py raises."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
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

    async def _answer(self, batch: list[Waiting]) -> None:
        try:
            values: list[Any] = await self._mget([key for key, _ in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, each of those who wait has to hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), value in zip(batch, values, strict=True):
                if not future.done():
                    future.set_result(value)
