"""A connection pool whose server the sentinels name."""

from redis.asyncio import BlockingConnectionPool, Sentinel
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from adapters.redis.connections import RetryUnsent, limits
from adapters.redis.urls import Options
from application.shared_tasks import SharedTasks

SENTINEL_SECONDS = 0.5
"""The time limit to connect to a sentinel, and for its response. Then the next sentinel is asked."""
SENTINEL_PORT = 26379


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
                "retry": RetryUnsent(),
                "username": sentinels[0].get("sentinel_username"),
                "password": sentinels[0].get("sentinel_password"),
                **tls,
            },
        )
        of_server = {name: value for name, value in options.items() if name not in ("host", "port")}
        super().__init__(master, manager, **limits() | of_server | tls)  # type: ignore[no-untyped-call]
        # One lookup at a time, because concurrent ones lose sentinels from redis-py's list:
        # https://github.com/redis/redis-py/pull/4331
        self._lookups: SharedTasks[str, tuple[str, int]] = SharedTasks()

    async def get_master_address(self) -> tuple[str, int]:
        """Look up the master once for all connections that are being made. Raises MasterNotFoundError."""
        return await self._lookups.wait(self.service_name, super().get_master_address)

    async def aclose(self) -> None:
        """Close the connections, also those to the sentinels."""
        await super().aclose()
        await self._lookups.aclose()
        await self.sentinel_manager.aclose()
