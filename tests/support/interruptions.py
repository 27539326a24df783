"""Stores that stop answering, and processes that are killed, after some steps: parts of data of Redis, or calls."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.sql.connections import T, Work
from adapters.sql.database import Database
from domain.errors import StoreUnavailable
from support.proxy import proxy
from support.topologies import redis_cluster
from support.traps import Trap


class Killed(Exception):
    """The process is killed."""


class Process:
    """A process that makes this number of calls to its stores. It is killed before the next one, and makes no other."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self.is_killed = False

    def count(self, patch: pytest.MonkeyPatch, target: object, *names: str) -> None:
        """Count the calls of these methods."""
        for name in names:
            patch.setattr(target, name, self._counted(getattr(target, name)))

    def count_commands(self, patch: pytest.MonkeyPatch, redis: RedisClient) -> None:
        """Count the commands for Redis, in pipelines, too."""
        open_pipeline = redis.pipeline
        self.count(patch, redis, "execute_command")
        patch.setattr(redis, "pipeline", lambda **options: CutPipeline(self, open_pipeline(**options)))

    def take(self, calls: int) -> int:
        """Return how many of these calls happen before the process is killed."""
        taken = min(calls, self._left)
        self._left -= taken
        self.is_killed |= taken < calls
        return taken

    def _counted(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*arguments: Any, **options: Any) -> Any:
            if not self.take(1):
                raise Killed
            return await call(*arguments, **options)

        return counted


class CutPipeline:
    """A pipeline of a process that is killed: Redis receives the commands before that."""

    def __init__(self, process: Process, pipeline: Any) -> None:
        self._process = process
        self._pipeline = pipeline
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *command: Any) -> None:
        """Add a command."""
        self._commands.append(command)

    async def execute(self) -> list[Any]:
        """Send the commands, and return their answers."""
        sent = self._commands[: self._process.take(len(self._commands))]
        for command in sent:
            self._pipeline.execute_command(*command)
        answers: list[Any] = await self._pipeline.execute()
        if sent != self._commands:
            raise Killed
        return answers


class InterruptedDatabase(Database):
    """A Database that answers this number of calls. The next one happens, its answer is lost, and no other happens."""

    def __init__(self, url: str, calls: int) -> None:
        super().__init__(url)
        self._left = calls

    @property
    def is_interrupted(self) -> bool:
        """Return whether an answer was lost."""
        return self._left < 0

    async def read(self, work: Work[T]) -> T:
        """See Database."""
        return await self._answer(super().read, work)

    async def write(self, work: Work[T]) -> T:
        """See Database."""
        return await self._answer(super().write, work)

    async def write_one(self, work: Work[T]) -> T:
        """See Database."""
        return await self._answer(super().write_one, work)

    async def _answer(self, run: Callable[[Work[T]], Any], work: Work[T]) -> T:
        if self._left < 0:
            raise StoreUnavailable
        answer: T = await run(work)
        self._left -= 1
        if self._left < 0:
            raise StoreUnavailable
        return answer


@asynccontextmanager
async def interrupted(place: str, step: int) -> AsyncIterator[tuple[RedisClient | Database, Callable[[], bool]]]:
    """Open a Redis or a database that stops answering after so many steps. Yield it, and whether it has stopped."""
    if not place.startswith("redis"):
        async with InterruptedDatabase(place, step) as database:
            yield database, lambda: database.is_interrupted
        return
    server, trap = urlsplit(place), Trap()
    with proxy((str(server.hostname), server.port or 6379)) as between:
        async with create_client(f"redis://127.0.0.1:{between.port}{server.path}") as redis:
            await redis.echo("connected")
            trap.watch(between)
            trap.arm(step)
            yield redis, lambda: trap.struck


@dataclass(frozen=True)
class TrappedCluster:
    """A Redis Cluster of three masters. From the strike of its trap on, a master answers nothing, as if it had died."""

    url: str
    traps: list[Trap]


@contextmanager
def trapped_cluster() -> Iterator[TrappedCluster]:
    """Run a cluster whose masters are behind proxies. To clients, a disarmed trap is the end of a fail-over."""
    traps: list[Trap] = []
    with ExitStack() as stack:

        def announce(port: int) -> int:
            between = stack.enter_context(proxy(("127.0.0.1", port)))
            traps.append(Trap())
            traps[-1].watch(between)
            return between.port

        yield TrappedCluster(stack.enter_context(redis_cluster(announce=announce)).url, traps)
