"""One server of a Redis Cluster."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from adapters.redis.pools import create_pool
from adapters.redis.urls import Options

Command = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Its words, and what redis-py needs to read the answer."""

LOOK_UP_SECONDS = 0.5
"""For one node to say who has which slots: when it does not hurry, another does."""

FAILURES = (RedisError, OSError, TimeoutError)


class Unsent(RedisConnectionError):
    """The command never left: there is no connection to its node, or no node."""


class Node:
    """One server of the cluster. `failed_at` is a monotonic time, 0 for never."""

    def __init__(self, host: str, port: int, options: Options) -> None:
        self.host = host
        self.failed_at = 0.0
        self.redis = Redis.from_pool(create_pool({**options, "host": host, "port": port}, retries=0))

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """What it answers to them, in one round trip; an exception is an answer, too."""
        pool = self.redis.connection_pool
        try:
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        except FAILURES as error:
            return self._failed(Unsent(str(error)), commands)
        try:
            await connection.send_packed_command(connection.pack_commands([args for args, _ in commands]))
            return [await self._read(connection, command) for command in commands]
        except FAILURES as error:
            await connection.disconnect()
            return self._failed(error, commands)
        finally:
            await pool.release(connection)

    async def _read(self, connection: Any, command: Command) -> Any:
        (name, *_), options = command
        try:
            return await self.redis.parse_response(connection, name, **options)
        except ResponseError as refusal:
            return refusal

    async def slots(self) -> list[Any] | None:
        """https://redis.io/docs/latest/commands/cluster-slots, or None when it does not say within half a second."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                (answer,) = await self.send([(("CLUSTER SLOTS",), {})])
        except TimeoutError as error:
            (answer,) = self._failed(error, [()])
        return answer if isinstance(answer, list) else None

    def _failed(self, error: Exception, commands: Sequence[object]) -> list[Any]:
        self.failed_at = time.monotonic()
        return [error] * len(commands)
