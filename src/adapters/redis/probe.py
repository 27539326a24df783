"""Check whether Redis answers."""

from redis.asyncio import RedisCluster

from adapters.redis.connections import RedisClient, map_redis_errors
from application.ports.probe import Probe


class RedisProbe(Probe):
    """Sends PING to the server, or to each master of a cluster."""

    name = "session store"

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def check(self) -> None:
        """See Probe."""
        with map_redis_errors():
            if isinstance(self._redis, RedisCluster):
                await self._redis.ping(target_nodes=RedisCluster.PRIMARIES)
            else:
                await self._redis.ping()
