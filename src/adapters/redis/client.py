"""Create Redis clients."""

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.exceptions import RedisError

from adapters.redis.cluster import Cluster
from adapters.redis.connections import RedisClient, limits
from adapters.redis.sentinel import SentinelPool
from adapters.redis.urls import RedisUrl


def create_client(url: str) -> RedisClient:
    """Return a client of what the URL names. Opens no connection.

    Raises ValueError for an option that redis-py does not know; its text does not show the URL.
    """
    try:
        place = RedisUrl.of(url)
        if place.kind == "sentinel":
            return Redis.from_pool(_checked(SentinelPool(place.servers, place.master)))
        pool = _checked(BlockingConnectionPool(**limits() | place.servers[0]))
        return Cluster(place.servers) if place.kind == "cluster" else Redis.from_pool(pool)
    except (TypeError, RedisError):
        raise ValueError("has an option that redis-py does not know, or a wrong value of one") from None


def _checked(pool: ConnectionPool) -> ConnectionPool:
    """Return the pool. Raises TypeError or RedisError for a wrong option, which redis-py reads with a connection."""
    pool.make_connection()  # type: ignore[no-untyped-call]
    return pool
