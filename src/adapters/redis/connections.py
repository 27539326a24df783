"""Use connections to Redis: with time limits, each command sent once, and errors of the domain."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from domain.errors import StoreUnavailable

T = TypeVar("T")

Client = Redis | RedisCluster
"""A client of one Redis, of the master that sentinels name, or of a cluster. Only Reader sends a command twice."""

Command = tuple[Any, ...]
"""The name of a Redis command and its arguments: text, bytes and numbers."""

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
CONNECTIONS = 50

KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""In seconds, and a number of probes: the system closes a connection that was dropped silently 11 seconds after its
last use. The next request finds it closed, and does not wait ANSWER_SECONDS for it."""


class map_redis_errors:  # noqa: N801  # read as a verb: with map_redis_errors()
    """Map the exceptions of redis-py to StoreUnavailable. A class, because it is faster than a generator."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (RedisError, OSError, TimeoutError)):
            raise StoreUnavailable(f"Redis does not answer as it should ({type(error).__name__})") from error


async def run(redis: Client, *sequences: Sequence[Command]) -> list[list[Any]]:
    """Run the commands of each sequence in their order, and return their answers. Raises the first error.

    One Redis gets all of them in one round trip. On a cluster the sequences run side by side, and an error ends its
    own sequence: what comes after it is not sent. No command is running any more when this returns.
    """
    if not sequences:
        return []
    if isinstance(redis, RedisCluster):
        outcomes = await asyncio.gather(*(_in_order(redis, each) for each in sequences), return_exceptions=True)
        return [_answers(outcome) for outcome in outcomes]
    pipeline = redis.pipeline(transaction=False)
    for sequence in sequences:
        for command in sequence:
            pipeline.execute_command(*command)
    answers = iter(await pipeline.execute())
    return [[next(answers) for _ in sequence] for sequence in sequences]


async def _in_order(cluster: RedisCluster, commands: Sequence[Command]) -> list[Any]:
    return [await cluster.execute_command(*command) for command in commands]


def _answers(outcome: list[Any] | BaseException) -> list[Any]:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def limits() -> dict[str, Any]:
    """Return the options of every connection: bounded in number and time, and no command is sent twice.

    A command whose answer is lost may have been executed. Run again later, it could undo what came in between: a touch
    would bring back a session that has ended.
    """
    return {
        "max_connections": CONNECTIONS,
        "timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "socket_keepalive_options": KEEPALIVE,
        "retry": SentOnce(),
        # with them on, redis-py 8.1 does not look whether a connection from the pool is still alive
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


class NotSent(BrokenConnection):
    """The connection was closed before the command was sent."""


class SentOnce(Retry):
    """Sends a command once. On a connection that was closed before, nothing is sent, and a new one is opened.

    redis-py 8.1 does not notice that an idle connection was reset: it looks for the end of the stream, and a reset is
    an exception instead. uvloop then refuses to write, with a RuntimeError that redis-py does not expect.
    """

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 0)

    async def call_with_retry(self, do: Callable[[], Awaitable[T]], *args: Any, **options: Any) -> T:
        """See Retry."""

        async def done() -> T:
            try:
                return await send(do)
            except NotSent:  # redis-py has closed the connection, and opens it again
                return await send(do)

        return await super().call_with_retry(done, *args, **options)


async def send(do: Callable[[], Awaitable[T]]) -> T:
    """Await what sends a command. Raises NotSent if its connection was closed before; redis-py then closes it, too."""
    try:
        return await do()
    except RuntimeError as error:
        if "handler is closed" not in str(error):
            raise
        raise NotSent("Redis reset the connection") from error
