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

RedisClient = Redis | RedisCluster
"""A client of one Redis, of the master that sentinels name, or of a cluster. No command is executed twice by it."""

Command = tuple[Any, ...]
"""The name of a Redis command and its arguments: text, bytes and numbers."""

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
MAX_CONNECTIONS = 50

KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""The operating system probes an idle connection after 5 seconds, then every 2, and closes it after 3 probes without
a response. Without that, the first command on a connection that a firewall has dropped would wait ANSWER_SECONDS."""


class map_redis_errors:  # noqa: N801  # read as a verb: with map_redis_errors()
    """Map the exceptions of redis-py to StoreUnavailable. A class, because it is faster than a generator."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (RedisError, OSError, TimeoutError)):
            raise StoreUnavailable(f"Redis does not answer as it should ({type(error).__name__})") from error


async def run(redis: RedisClient, commands: Sequence[Command]) -> list[Any]:
    """Run commands in their order, and return their answers. Raises the first error."""
    [answers] = await run_all(redis, [commands])
    return answers


async def run_all(redis: RedisClient, sequences: Sequence[Sequence[Command]]) -> list[list[Any]]:
    """Run the commands of each sequence in their order, and return their answers. Raises the first error.

    One Redis gets all of them in one round trip. On a cluster the sequences run side by side, and an error ends its
    own sequence: what comes after it is not sent. No command is running any more when this returns.
    """
    if not sequences:
        return []
    if isinstance(redis, RedisCluster):
        outcomes = await asyncio.gather(*(_run_in_order(redis, each) for each in sequences), return_exceptions=True)
        return [_answers_or_raise(outcome) for outcome in outcomes]
    pipeline = redis.pipeline(transaction=False)
    for sequence in sequences:
        for command in sequence:
            pipeline.execute_command(*command)
    answers = iter(await pipeline.execute())
    return [[next(answers) for _ in sequence] for sequence in sequences]


async def _run_in_order(cluster: RedisCluster, commands: Sequence[Command]) -> list[Any]:
    return [await cluster.execute_command(*command) for command in commands]


def _answers_or_raise(outcome: list[Any] | BaseException) -> list[Any]:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def limits() -> dict[str, Any]:
    """Return the options of every connection: bounded in number and time, and no command is sent twice.

    A command whose answer is lost may have been executed. Run again later, it could undo what came in between: a touch
    would bring back a session that has ended.
    """
    return {
        "max_connections": MAX_CONNECTIONS,
        "timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "socket_keepalive_options": KEEPALIVE,
        "retry": RetryUnsent(),
        # redis-py 8.1 checks a connection from the pool only without them: https://github.com/redis/redis-py/pull/4260
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


class CommandNotSent(BrokenConnection):
    """The connection was closed before the command was sent."""


class RetryUnsent(Retry):
    """Retries a command once, and only if it was not sent.

    When Redis resets an idle connection, redis-py 8.1 takes it from the pool all the same, and the event loop refuses
    to write. `send` raises CommandNotSent then. redis-py closes the connection, and opens it again for the second try.
    """

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 0)

    async def call_with_retry(self, do: Callable[[], Awaitable[T]], *args: Any, **options: Any) -> T:
        """See Retry."""

        async def send_or_reconnect() -> T:
            try:
                return await send(do)
            except CommandNotSent:
                return await send(do)

        return await super().call_with_retry(send_or_reconnect, *args, **options)


WRITE_REFUSALS = ("handler is closed", "'_add_writer'", "'NoneType' object is not callable")
"""Texts of the errors with which a closed transport refuses to write: of uvloop, of asyncio in CPython 3.13, and of
asyncio in CPython 3.12 and 3.14. redis-py 8.1 lets them out: https://github.com/redis/redis-py/issues/4287"""


async def send(do: Callable[[], Awaitable[T]]) -> T:
    """Await redis-py's coroutine that sends a command. Raises CommandNotSent if the connection was closed before."""
    try:
        return await do()
    except (RuntimeError, AttributeError, TypeError) as error:
        if not any(text in str(error) for text in WRITE_REFUSALS):
            raise
        raise CommandNotSent("Redis reset the connection") from error
