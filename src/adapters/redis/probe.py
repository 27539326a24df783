"""Whether Redis answers."""

from redis.asyncio import Redis

from adapters.redis.client import translated
from application.ports import Probe


class RedisProbe(Probe):
    """PINGs."""

    name = "session store"

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def check(self) -> None:
        """See Probe."""
        with translated():
            await self._redis.echo("ready")
