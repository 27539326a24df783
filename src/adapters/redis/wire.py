"""How commands reach Redis: those of concurrent requests travel together."""

import asyncio
from abc import abstractmethod
from typing import Any, NamedTuple, Protocol, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import ResponseError

from adapters.redis.cluster import ClusterClient
from adapters.redis.memory import REMEMBERED, Count, Decode, Memory, Reader, TrackedReader, uncounted
from adapters.redis.pools import ANSWER_SECONDS, resets_told
from adapters.redis.stream import Command, Stream

V = TypeVar("V")
PING: Command = ("PING",)


class Wire(Protocol):
    """Runs commands. They have to bear being run twice: those that meet a broken connection are sent once more."""

    @abstractmethod
    async def ask(self, *commands: Command) -> list[Any]:
        """What each of them gives, in order. Raises what redis-py raises, and TimeoutError."""

    @abstractmethod
    def reader(self, decode: Decode[V]) -> Reader[V]:
        """Reads values, which `decode` makes of a key and its bytes."""


class Asked(NamedTuple):
    """Commands, and who waits for their answers."""

    commands: tuple[Command, ...]
    answers: asyncio.Future[list[Any]]


class Counters(NamedTuple):
    """Who counts what was remembered, what was not, and those who share a round trip."""

    hit: Count = uncounted
    miss: Count = uncounted
    batch: Count = uncounted


UNCOUNTED = Counters()


class SharedConnection(Wire):
    """One connection for all: while one batch of commands is on its way, the next one collects.

    Processor time of a login's commands, 32 logins at once: 870 us by pipelines on a pool's connections, 110 us so.
    """

    def __init__(self, redis: Redis, remembered: int = REMEMBERED, counters: Counters = UNCOUNTED) -> None:
        self._pool = redis.connection_pool
        self._memory = Memory[Any](remembered, counters.hit, counters.miss)
        self._count_batch = counters.batch
        self._connection: AbstractConnection | None = None
        self._stream: Stream | None = None
        self._waiting: list[Asked] = []
        self._batch: list[Asked] = []
        self._recovery: asyncio.Task[None] | None = None

    async def ask(self, *commands: Command) -> list[Any]:
        """See Wire. To ask nothing is to wait until Redis has answered something that was sent after the call."""
        loop = asyncio.get_running_loop()
        asked = Asked(commands, loop.create_future())
        self._waiting.append(asked)
        if not self._batch and len(self._waiting) == 1:
            loop.call_soon(self._send)  # after all requests that are here already
        return await asked.answers

    def reader(self, decode: Decode[V]) -> Reader[V]:
        """See Wire."""
        return TrackedReader(self.ask, self._memory, decode)

    def _send(self) -> None:
        self._batch, self._waiting = self._waiting, []
        self._count_batch(len(self._batch))
        if self._stream and self._stream.is_open:
            self._stream.send(self._commands()).add_done_callback(self._answered)
        else:
            self._recovery = asyncio.create_task(self._send_on_a_new_connection())

    def _commands(self) -> list[Command]:
        return [command for asked in self._batch for command in asked.commands] or [PING]

    def _answered(self, exchange: asyncio.Future[list[Any]]) -> None:
        error = exchange.exception()
        if error is None:
            self._finish(exchange.result())
        else:  # the connection may have died since its last use
            again = isinstance(error, BrokenConnection)
            self._recovery = asyncio.create_task(self._send_on_a_new_connection() if again else self._give_up(error))

    async def _send_on_a_new_connection(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._hang_up()
                self._stream = await self._connect()
                answers = await self._stream.send(self._commands())
        except Exception as error:  # noqa: BLE001  # whatever it is, each of those who wait has to hear of it
            await self._give_up(error)
        else:
            self._finish(answers)

    async def _connect(self) -> Stream:
        """Have redis-py open a connection, with all that a URL may say, and take it over."""
        with resets_told():
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # upstream's
        self._connection = connection
        stream = Stream(connection._writer.transport, self._memory.forget)  # noqa: SLF001  # there is no public way
        tracked = False
        if connection.protocol == 3:  # RESP2 has no place for what Redis tells, though CLIENT TRACKING is not refused
            [answer] = await stream.send([("CLIENT", "TRACKING", "ON", "OPTIN")])
            tracked = not isinstance(answer, ResponseError)
        self._memory.start(tracked=tracked)
        return stream

    async def _give_up(self, error: BaseException) -> None:
        try:
            await self._hang_up()
        finally:
            self._finish(error)  # whatever becomes of the connection, nobody waits for ever

    async def _hang_up(self) -> None:
        connection, self._connection, self._stream = self._connection, None, None
        self._memory.start(tracked=False)
        if connection:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    def _finish(self, outcome: list[Any] | BaseException) -> None:
        """Hand the answers out, or the error, and go on with those who have come meanwhile."""
        answers = iter(outcome if isinstance(outcome, list) else ())
        for asked in self._batch:
            given = [next(answers) for _ in asked.commands] if isinstance(outcome, list) else outcome
            _give(asked.answers, given)
        self._batch = []
        if self._waiting:
            self._send()


class ClusterWire(Wire):
    """A pipeline for each: a cluster's nodes have no order among them that a shared connection could keep.

    Nothing is remembered, because slots move between nodes; and nothing is read together, because a batch would be as
    slow as the slowest node, and fail with any.
    """

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster

    async def ask(self, *commands: Command) -> list[Any]:
        """See Wire."""
        pipeline = self._cluster.pipeline()
        for command in commands:
            pipeline.execute_command(*command, get=True)  # SET answers as in Redis, not with a bool
        return await pipeline.execute()

    def reader(self, decode: Decode[V]) -> Reader[V]:
        """See Wire."""
        return ClusterReader(self._cluster, decode)


class ClusterReader(Reader[V]):
    """Remembers nothing."""

    def __init__(self, cluster: ClusterClient, decode: Decode[V]) -> None:
        self._cluster = cluster
        self._decode = decode

    async def __call__(self, key: str) -> V | None:
        """See Reader."""
        stored: Any = await self._cluster.get(key)
        return None if stored is None else self._decode(key, stored)


def open_wire(redis: Redis, counters: Counters = UNCOUNTED) -> Wire:
    """The wire to a Redis, or to a cluster. Opens no connection."""
    return ClusterWire(redis) if isinstance(redis, ClusterClient) else SharedConnection(redis, counters=counters)


def _give(answers: asyncio.Future[list[Any]], given: list[Any] | BaseException) -> None:
    if answers.done():  # who asked is gone
        return
    error = given if isinstance(given, BaseException) else next((a for a in given if isinstance(a, Exception)), None)
    if error:
        answers.set_exception(error)
    else:
        answers.set_result(given)  # type: ignore[arg-type]  # it is a list
