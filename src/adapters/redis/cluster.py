"""A client of Redis Cluster: that of redis-py, with the settings and limits that a fail-over needs.

See docs/decisions/0014-redis-at-scale.md.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisClusterException

from adapters.redis.connections import CONNECTIONS, NotSent, limits, send
from adapters.redis.urls import Options

COMMANDS = 2 * CONNECTIONS
"""How many commands are under way at once; others wait. redis-py does not wait for a connection, but raises."""

MAX_CONNECTIONS = 10 * COMMANDS
"""Of a node: more than are ever needed, because connections that redis-py is about to close count, too."""

ONE_SERVERS = ("host", "port", "db", "connection_class", "timeout", "max_connections")
"""The options of one server's pool that RedisCluster does not take, or that are set below."""

NOT_REDIS_ERRORS = (RedisClusterException, AttributeError, RuntimeError, TypeError)
"""The errors of RedisCluster that are no RedisError: no node answers, or nodes change while a command runs."""


class Cluster(RedisCluster):
    """A RedisCluster that sends no command twice, and raises nothing but RedisError, also while nodes change."""

    def __init__(self, seeds: Sequence[Options]) -> None:
        options = limits() | seeds[0]
        super().__init__(
            startup_nodes=[ClusterNode(seed["host"], seed.get("port", 6379)) for seed in seeds],
            require_full_coverage=False,  # the other masters' keys stay in reach
            reinitialize_steps=0,  # 5 closes every connection at every fifth MOVED
            ssl=options.get("connection_class") is SSLConnection,
            **{name: value for name, value in options.items() if name not in ONE_SERVERS},
            max_connections=MAX_CONNECTIONS,
        )
        self._commands = asyncio.Semaphore(COMMANDS)

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
            for _ in range(MAX_CONNECTIONS):
                try:
                    await self.initialize()  # before, redis-py 8.1 sends commands to any node
                    return await send(execute)
                except NotSent:  # the next connection is taken, until one is open or made anew
                    continue
                except NOT_REDIS_ERRORS as error:
                    raise BrokenConnection(f"the cluster does not answer ({type(error).__name__})") from error
            raise NotSent("Redis reset every connection")
