"""A Redis client that never keeps a request waiting for long."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from domain.errors import StoreUnavailable

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
CONNECTIONS = 50


def create_client(url: str) -> Redis:
    """A client of `redis://` or `rediss://`. Opens no connection.

    One retry, on a new connection: it heals a connection that died since its last use.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(ConstantBackoff(0.05), retries=1),
    )
    return Redis.from_pool(pool)


class translated:  # noqa: N801  # read as a verb: with translated()
    """Turns what redis-py raises into StoreUnavailable. A class, because every request passes here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (RedisError, OSError, TimeoutError)):
            raise StoreUnavailable(f"Redis does not answer as it should ({type(error).__name__})") from error
