"""Reads that share a round trip."""

import asyncio

from redis.asyncio import Redis


class BatchingReader:
    """GETs of concurrent requests travel together: while one batch is on its way, the next one collects.

    One connection then answers several thousand requests a second. Every key is a command of its own, so that a
    cluster can run it.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[str, asyncio.Future[bytes | None]]] = []
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

    async def _answer(self, batch: list[tuple[str, asyncio.Future[bytes | None]]]) -> None:
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for key, _ in batch:
                pipeline.get(key)
            values = await pipeline.execute()
        except Exception as error:  # noqa: BLE001  # whatever it is, each of those who wait has to hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), value in zip(batch, values, strict=True):
                if not future.done():
                    future.set_result(value)
