"""A client of Redis Cluster: that of redis-py, with the settings and limits that a fail-over needs.

See docs/decisions/0014-redis-at-scale.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Self

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisClusterException

from adapters.redis.connections import MAX_CONNECTIONS, CommandNotSent, limits, send
from adapters.redis.urls import Options

MAX_COMMANDS = 2 * MAX_CONNECTIONS
"""How many commands run at once. Others wait here, because redis-py raises when it has no connection for them."""

MAX_NODE_CONNECTIONS = 10 * MAX_COMMANDS
"""How many connections redis-py may have to a node: it counts those that it is about to close."""

SINGLE_SERVER_OPTIONS = ("host", "port", "db", "connection_class", "timeout", "max_connections")
"""The options of one server's pool that RedisCluster does not take, or that are set below."""

NOT_REDIS_ERRORS = (RedisClusterException, AttributeError, KeyError, RuntimeError, TypeError)
"""The errors of RedisCluster that are no RedisError: no node answers, no master has the key's slot (a KeyError), or
nodes change while a command runs.

https://github.com/redis/redis-py/issues/3835, https://github.com/redis/redis-py/issues/4296"""


class Cluster(RedisCluster):
    """A RedisCluster that sends no command twice, and raises nothing but RedisError, also while nodes change."""

    def __init__(self, seeds: Sequence[Options]) -> None:
        options = limits() | seeds[0]
        super().__init__(
            startup_nodes=[ClusterNode(seed["host"], seed.get("port", 6379)) for seed in seeds],
            require_full_coverage=False,  # the other masters' keys stay in reach
            reinitialize_steps=0,  # 5 closes every connection at every fifth MOVED
            ssl=options.get("connection_class") is SSLConnection,
            **{name: value for name, value in options.items() if name not in SINGLE_SERVER_OPTIONS},
            max_connections=MAX_NODE_CONNECTIONS,
        )
        self._commands = asyncio.Semaphore(MAX_COMMANDS)

    async def __aenter__(self) -> Self:
        """Return the client. It discovers the cluster at the first command."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close the connections to all nodes."""
        await self.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See RedisCluster."""
        execute = partial(super().execute_command, *args, **options)
        async with self._commands:
            for _ in range(MAX_NODE_CONNECTIONS):
                try:
                    return await self._discover_and_execute(execute)
                except CommandNotSent:  # take the next connection from the pool: it is open, or a new one
                    continue
                except NOT_REDIS_ERRORS as error:
                    raise BrokenConnection(f"the cluster does not answer ({type(error).__name__})") from error
            raise CommandNotSent("Redis reset every connection")

    async def _discover_and_execute(self, execute: Callable[[], Awaitable[Any]]) -> Any:
        await self.initialize()  # before, redis-py 8.1 sends commands to any node
        try:
            return await send(execute)
        except KeyError:  # no master had the slot when redis-py asked, and it does not ask again
            await self.nodes_manager.initialize()
            raise
