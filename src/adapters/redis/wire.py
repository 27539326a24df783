"""How commands reach Redis: those of concurrent requests travel together."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from hiredis import pack_command
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisError, ResponseError

from adapters.redis.batch import Batcher
from adapters.redis.client import ANSWER_SECONDS
from adapters.redis.reads import REMEMBERED, ClusterReads, Decode, Memory, TrackedReads

V = TypeVar("V")

Command = tuple[Any, ...]
"""Its name and arguments: text, bytes and numbers."""

PUSH = object()
"""Stands for what Redis tells without having been asked."""


class Wire(Protocol):
    """Runs commands. They have to bear being run twice: one that meets a broken connection is sent once more."""

    @abstractmethod
    async def ask(self, *commands: Command) -> list[Any]:
        """What each of them gives, in order. Raises what redis-py raises, and TimeoutError."""

    @abstractmethod
    def reader(self, decode: Decode[V]) -> Callable[[str], Awaitable[V | None]]:
        """Reads the value of a key, or None, as it was at some time after the call. Raises as `ask`."""


class SharedConnection(Wire):
    """One connection for all, which costs the processor a fifth of a pipeline on a connection of one's own.

    Redis tells it of changes of what was read on it, in order with the answers
    (https://redis.io/docs/latest/develop/reference/client-side-caching/).
    """

    def __init__(self, redis: Redis, remembered: int = REMEMBERED) -> None:
        self._pool = redis.connection_pool
        self._memory = Memory[Any](remembered)
        self._connection: AbstractConnection | None = None
        self._batcher = Batcher(self._run)

    async def ask(self, *commands: Command) -> list[Any]:
        """See Wire."""
        return await self._batcher(commands)

    def reader(self, decode: Decode[V]) -> Callable[[str], Awaitable[V | None]]:
        """See Wire."""
        return Batcher(TrackedReads(self.ask, self._memory, decode))

    async def _run(self, batch: Sequence[Sequence[Command]]) -> list[list[Any] | Exception]:
        commands = [command for asked in batch for command in asked]
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                answers = iter(await self._exchange(commands))
            except (BrokenConnection, OSError):  # it may have died since its last use
                answers = iter(await self._exchange(commands))
        return [_result([next(answers) for _ in asked]) for asked in batch]

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        try:
            connection = self._connection or await self._connect()
            await connection.send_packed_command(b"".join(map(pack_command, commands)))
            return [await _answer(connection) for _ in commands]
        except BaseException:
            await self._hang_up()
            raise

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # upstream's
        self._connection = connection
        connection.socket_timeout = None  # redis-py's own costs 70 us a command; _run has one for all
        parser: Any = connection._parser  # noqa: SLF001  # there is no public way
        parser.set_invalidation_push_handler(self._told)
        self._memory.start(tracked=await _is_tracked(connection))
        return connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        self._memory.start(tracked=False)
        if connection:
            connection.socket_timeout = ANSWER_SECONDS
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _told(self, push: Sequence[Any]) -> object:
        self._memory.forget(push[1])
        return PUSH


class ClusterPipeline(Wire):
    """A pipeline for each: a cluster's nodes have no order among them that a shared one could keep."""

    def __init__(self, redis: RedisCluster) -> None:
        self._redis = redis

    async def ask(self, *commands: Command) -> list[Any]:
        """See Wire."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, get=True)  # SET answers as in Redis, not with a bool
        return await pipeline.execute()

    def reader(self, decode: Decode[V]) -> Callable[[str], Awaitable[V | None]]:
        """See Wire."""
        return Batcher(ClusterReads(self._redis, decode))


def open_wire(redis: Redis | RedisCluster) -> Wire:
    """The wire to a Redis, or to a cluster. Opens no connection."""
    return ClusterPipeline(redis) if isinstance(redis, RedisCluster) else SharedConnection(redis)


async def _is_tracked(connection: AbstractConnection) -> bool:
    """Ask to be told of changes. RESP2 has no place for that, though Redis does not refuse it there."""
    if connection.protocol != 3:
        return False
    await connection.send_command("CLIENT", "TRACKING", "ON")
    return not isinstance(await _answer(connection), RedisError)


async def _answer(connection: AbstractConnection) -> Any:
    """What the next command gives; a refusal is given, too, because others' answers follow it."""
    try:
        while (answer := await connection.read_response(push_request=True)) is PUSH:
            pass  # a loop: without push_request, redis-py calls itself for each of thousands of pushes
    except ResponseError as error:
        return error
    return answer


def _result(answers: list[Any]) -> list[Any] | Exception:
    return next((answer for answer in answers if isinstance(answer, Exception)), answers)
