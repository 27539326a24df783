"""Redis clients with time limits."""

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from adapters.redis.cluster import Cluster
from adapters.redis.pools import SentinelPool, create_pool
from adapters.redis.urls import RedisUrl
from domain.errors import StoreUnavailable

Client = Redis | RedisCluster
"""A client of one Redis, of the master that sentinels name, or of a cluster. It sends no command twice."""


def create_client(url: str) -> Client:
    """Return a client of what the URL names. Opens no connection.

    Raises ValueError for an option that redis-py does not know; its text does not show the URL.
    """
    try:
        place = RedisUrl.of(url)
        pool = SentinelPool(place.servers, place.master) if place.kind == "sentinel" else create_pool(place.servers[0])
        pool.make_connection()  # type: ignore[no-untyped-call]  # raises for a wrong option
        return Cluster(place.servers) if place.kind == "cluster" else Redis.from_pool(pool)
    except (TypeError, RedisError):
        raise ValueError("has an option that redis-py does not know, or not so") from None


class map_redis_errors:  # noqa: N801  # read as a verb: with map_redis_errors()
    """Map the exceptions of redis-py to StoreUnavailable. A class, because it is faster than a generator."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (RedisError, OSError, TimeoutError)):
            raise StoreUnavailable(f"Redis does not answer as it should ({type(error).__name__})") from error
