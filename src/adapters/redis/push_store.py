"""Pushes in Redis, for all processes and hosts that share it.

wxlogin:push:<push id>   exists while the push is remembered
wxlogin:pushes           a hash of the pushes that wait for the database: JSON by push id
"""

from datetime import timedelta
from typing import Any

import msgspec

from adapters.redis.connections import RedisClient, map_redis_errors
from application.ports.push_store import PushStore
from domain.push import Push

POSTPONED = "wxlogin:pushes"

BATCH = 100


class RedisPushStore(PushStore):
    """A PushStore on Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def was_handled(self, push_id: str) -> bool:
        """See PushStore."""
        with map_redis_errors():
            return await self._redis.get(_key(push_id)) is not None

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""
        with map_redis_errors():
            await self._redis.set(_key(push_id), 1, px=retention)

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        with map_redis_errors():
            await self._redis.hset(POSTPONED, push.id, msgspec.json.encode(push))
        return True

    async def postponed(self) -> list[Push]:
        """See PushStore."""
        with map_redis_errors():
            scanned: Any = await self._redis.hscan(POSTPONED, count=BATCH)
        return [msgspec.json.decode(each, type=Push) for each in scanned[1].values()]

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        with map_redis_errors():
            await self._redis.hdel(POSTPONED, push.id)


def _key(push_id: str) -> str:
    return f"wxlogin:push:{push_id}"
