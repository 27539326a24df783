"""How many keys are read at once: from a Redis with a memory in front of it, from a cluster without."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import ResponseError

from adapters.redis.client import ANSWER_SECONDS

V = TypeVar("V")

REMEMBERED = 20_000
"""How many values a process remembers, of about a KiB each."""

PUSH = object()
"""Stands for what Redis tells without having been asked."""


class TrackedReads(Generic[V]):
    """Reads from a Redis, remembered until Redis says that they changed. Nobody is answered from memory alone.

    Redis tells the connection that read a key when it changes, in order with its answers
    (https://redis.io/docs/latest/develop/reference/client-side-caching/): what is still remembered when the answer to
    a later PING is here, had not changed before that PING. So a batch of known keys costs one PING, whatever its size;
    a change that somebody was told of before the batch is seen by it, and with Redis away nobody gets an answer.

    A Redis that does not track, such as one behind a proxy, is asked for every value.
    """

    def __init__(self, redis: Redis, decode: Callable[[str, bytes], V], size: int = REMEMBERED) -> None:
        self._pool = redis.connection_pool
        self._decode = decode
        self._size = self._limit = size
        self._values: dict[str, V] = {}
        self._connection: AbstractConnection | None = None

    async def __call__(self, keys: set[str]) -> Mapping[str, V]:
        """The values of those that exist. Raises what redis-py raises, and TimeoutError.

        One retry, on a new connection: it heals a connection that died since its last use.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                return await self._read(keys)
            except (BrokenConnection, OSError):
                return await self._read(keys)

    async def _read(self, keys: set[str]) -> Mapping[str, V]:
        found: dict[str, V] = {}
        try:
            while keys:
                remembered = keys & self._values.keys()
                found |= await self._ask(keys - remembered)
                found |= {key: self._values[key] for key in remembered & self._values.keys()}
                keys = remembered - self._values.keys()  # they changed while Redis was asked
        except BaseException:
            await self._hang_up()
            raise
        return found

    async def _ask(self, keys: set[str]) -> dict[str, V]:
        connection = self._connection or await self._connect()
        asked = [*keys]
        answer = await _exchange(connection, *(["MGET", *asked] if asked else ["PING"]))
        if not asked:
            return {}
        found = {key: self._decode(key, value) for key, value in zip(asked, answer, strict=True) if value is not None}
        self._remember(found)
        return found

    def _remember(self, found: dict[str, V]) -> None:
        self._values |= found
        while len(self._values) > self._limit:
            del self._values[next(iter(self._values))]

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # upstream's
        self._connection = connection
        connection.socket_timeout = None  # redis-py's own costs 70 us a command; ours, of __call__, counts
        parser: Any = connection._parser  # noqa: SLF001  # there is no public way
        parser.set_invalidation_push_handler(self._forget)
        self._limit = self._size if await _is_tracked(connection) else 0
        return connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        self._values.clear()
        if connection:
            connection.socket_timeout = ANSWER_SECONDS
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _forget(self, push: list[Any]) -> object:
        """Forget the keys that changed, or all when Redis was emptied."""
        changed = push[1]
        if changed is None:
            self._values.clear()
        else:
            for key in changed:
                self._values.pop(key.decode(), None)
        return PUSH


class ClusterReads(Generic[V]):
    """Reads from a cluster, which asks each slot by itself. Nothing is remembered: slots move between nodes."""

    def __init__(self, redis: Redis, decode: Callable[[str, bytes], V]) -> None:
        self._mget = redis.mget_nonatomic  # type: ignore[attr-defined]  # a cluster's client has it
        self._decode = decode

    async def __call__(self, keys: set[str]) -> Mapping[str, V]:
        """See TrackedReads."""
        asked = [*keys]
        values: list[bytes | None] = await self._mget(asked)
        return {key: self._decode(key, value) for key, value in zip(asked, values, strict=True) if value is not None}


async def _is_tracked(connection: AbstractConnection) -> bool:
    """Ask to be told of changes. RESP2 has no place for that, though Redis does not refuse it there."""
    if connection.protocol != 3:
        return False
    try:
        await _exchange(connection, "CLIENT", "TRACKING", "ON")
    except ResponseError:
        return False
    return True


async def _exchange(connection: AbstractConnection, *command: str) -> Any:
    await connection.send_command(*command)
    while (answer := await connection.read_response(push_request=True)) is PUSH:
        pass  # a loop: without push_request, redis-py calls itself for each of thousands of pushes
    return answer
