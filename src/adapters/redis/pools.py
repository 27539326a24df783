"""Pools of connections in which nobody waits for long."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Sentinel
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as BrokenConnection
from redis.maint_notifications import MaintNotificationsConfig

from adapters.redis.shared import Shared
from adapters.redis.urls import Options

T = TypeVar("T")

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
SENTINEL_SECONDS = 0.5
"""To connect to a sentinel, and for its answer: when one does not hurry, another does."""
CONNECTIONS = 50
SENTINEL_PORT = 26379


def create_pool(options: Options, retries: int = 1) -> BlockingConnectionPool:
    """A pool of one server. One retry, on a new connection, heals a connection that died since its last use."""
    return BlockingConnectionPool(**_limits(retries) | options)


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """A pool of the server that is the master by the word of the sentinels, asked whenever a connection is made.

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
                "retry": _retry(0),
                "username": sentinels[0].get("sentinel_username"),
                "password": sentinels[0].get("sentinel_password"),
                **tls,
            },
        )
        of_server = {name: value for name, value in options.items() if name not in ("host", "port")}
        super().__init__(master, manager, **_limits(1) | of_server | tls)  # type: ignore[no-untyped-call]
        # together, because redis-py 8.1 loses sentinels from its list when several connections ask at once
        self._find_master: Shared[tuple[str, int]] = Shared(super().get_master_address)

    async def get_master_address(self) -> tuple[str, int]:
        """Asked once for all whose connections are being made. Raises MasterNotFoundError."""
        return await self._find_master()

    async def aclose(self) -> None:
        """Hang up on the sentinels, too."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def _limits(retries: int) -> dict[str, Any]:
    return {
        "max_connections": CONNECTIONS,
        "timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "retry": _retry(retries),
        # with them on, redis-py 8.1 does not look whether a connection from the pool is still alive
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


@contextmanager
def resets_told() -> Iterator[None]:
    """Turns what uvloop says to who writes to a connection that was just reset into BrokenConnection.

    asyncio keeps quiet there, so redis-py 8.1 expects nothing.
    """
    try:
        yield
    except RuntimeError as error:
        if "handler is closed" not in str(error):
            raise
        raise BrokenConnection("Redis reset the connection") from error


class PatientRetry(Retry):
    """A Retry that tries again after what uvloop says, too."""

    async def call_with_retry(self, do: Callable[[], Awaitable[T]], *args: Any, **options: Any) -> T:
        """See Retry."""

        async def done() -> T:
            with resets_told():
                return await do()

        return await super().call_with_retry(done, *args, **options)


def _retry(retries: int) -> Retry:
    return PatientRetry(ConstantBackoff(0.05), retries=retries)
