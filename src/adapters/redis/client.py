"""A Redis client that never keeps a request waiting for long."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.redis.cluster import ClusterClient
from adapters.redis.pools import SentinelPool, create_pool
from adapters.redis.urls import Place
from domain.errors import StoreUnavailable


def create_client(url: str) -> Redis:
    """A client of one Redis, of a cluster, or of the master that sentinels name. Opens no connection.

    Raises ValueError for an option that redis-py does not know; its text does not show the URL.
    """
    try:
        client = _create(Place.of(url))
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, RedisError):
        raise ValueError("has an option that redis-py does not know, or not so") from None
    return client


def _create(place: Place) -> Redis:
    match place.kind:
        case "cluster":
            return ClusterClient(place.servers)
        case "sentinel":
            return Redis.from_pool(SentinelPool(place.servers, place.master))
        case _:
            return Redis.from_pool(create_pool(place.servers[0]))


class translated:  # noqa: N801  # read as a verb: with translated()
    """Turns what redis-py raises into StoreUnavailable. A class, because every request passes here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (RedisError, OSError, TimeoutError)):
            raise StoreUnavailable(f"Redis does not answer as it should ({type(error).__name__})") from error
