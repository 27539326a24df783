"""Connection pools with time limits."""

import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Sentinel
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as BrokenConnection
from redis.maint_notifications import MaintNotificationsConfig

from adapters.redis.single_flight import SingleFlight
from adapters.redis.urls import Options

T = TypeVar("T")

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
SENTINEL_SECONDS = 0.5
"""The time limit to connect to a sentinel, and for its answer. Then the next sentinel is asked."""
CONNECTIONS = 50
SENTINEL_PORT = 26379

KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""In seconds, and a number of probes: the system closes a connection that was dropped silently 11 seconds after its
last use. The next request finds it closed, and does not wait ANSWER_SECONDS for it."""


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


def create_pool(options: Options) -> BlockingConnectionPool:
    """Return a pool of one server."""
    return BlockingConnectionPool(**limits() | options)


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """A pool of connections to the master, which is looked up from the sentinels for each new connection.

    User and password are the server's; the sentinels' own are the options `sentinel_username`, `sentinel_password`.
    """

    def __init__(self, sentinels: list[Options], master: str) -> None:
        options = {name: value for name, value in sentinels[0].items() if not name.startswith("sentinel_")}
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        tls["ssl"] = options.pop("connection_class", None) is SSLConnection
        manager = Sentinel(  # type: ignore[no-untyped-call]
            [(each["host"], each.get("port", SENTINEL_PORT)) for each in sentinels],
            sentinel_kwargs={
                "socket_connect_timeout": SENTINEL_SECONDS,
                "socket_timeout": SENTINEL_SECONDS,
                "retry": SentOnce(),
                "username": sentinels[0].get("sentinel_username"),
                "password": sentinels[0].get("sentinel_password"),
                **tls,
            },
        )
        of_server = {name: value for name, value in options.items() if name not in ("host", "port")}
        super().__init__(master, manager, **limits() | of_server | tls)  # type: ignore[no-untyped-call]
        # together, because redis-py 8.1 loses sentinels from its list when several connections ask at once
        self._find_master: SingleFlight[tuple[str, int]] = SingleFlight(super().get_master_address)

    async def get_master_address(self) -> tuple[str, int]:
        """Look up the master once for all connections that are being made. Raises MasterNotFoundError."""
        return await self._find_master()

    async def aclose(self) -> None:
        """Close the connections, also those to the sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


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
