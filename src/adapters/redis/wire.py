"""How commands reach Redis: those of concurrent requests travel together."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from hiredis import pack_command
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisError, ResponseError

from adapters.redis.batch import Batcher
from adapters.redis.client import ANSWER_SECONDS

Command = tuple[Any, ...]
"""Its name and arguments: text, bytes and numbers."""

PUSH = object()
"""Stands for what Redis tells without having been asked."""


class Wire(Protocol):
    """Runs commands. They have to bear being run twice: one that meets a broken connection is sent once more."""

    @abstractmethod
    async def ask(self, *commands: Command) -> list[Any]:
        """What each of them gives, in order. Raises what redis-py raises, and TimeoutError."""


class Memory(Protocol):
    """What was read on a connection, as far as it has not changed since."""

    @abstractmethod
    def start(self, *, tracked: bool) -> None:
        """Forget all: there is a new connection, where Redis tells of changes, or does not."""

    @abstractmethod
    def forget(self, keys: Sequence[bytes] | None) -> None:
        """These keys changed; None: all did."""


class SharedConnection(Wire):
    """One connection for all, which costs the processor a fifth of a pipeline on a connection of one's own.

    Redis tells it of changes, in order with the answers, and so does it tell `memory`
    (https://redis.io/docs/latest/develop/reference/client-side-caching/).
    """

    def __init__(self, redis: Redis, memory: Memory) -> None:
        self._pool = redis.connection_pool
        self._memory = memory
        self._connection: AbstractConnection | None = None
        self._batcher = Batcher(self._run)

    async def ask(self, *commands: Command) -> list[Any]:
        """See Wire."""
        return await self._batcher(commands)

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
