"""Pushes in Redis, for all processes and hosts that share it.

wxlogin:push:<push id>   exists while the push is remembered
wxlogin:pushes           a hash of the pushes that wait for the database: JSON by push id
"""

import logging
from datetime import timedelta

import msgspec

from adapters.redis.connections import RedisClient, map_redis_errors
from application.ports.push_store import PushStore
from domain.push import Push

POSTPONED = "wxlogin:pushes"

BATCH = 100

logger = logging.getLogger("wxlogin.pushes")


class RedisPushStore(PushStore):
    """A PushStore on Redis. A push of a newer release that this one cannot read waits for a process of that release."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._has_warned = False

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
        pushes: list[Push] = []
        with map_redis_errors():
            async for _, record in self._redis.hscan_iter(POSTPONED, count=BATCH):
                if push := self._decode(record):
                    pushes.append(push)
                if len(pushes) == BATCH:
                    break
        return pushes

    def _decode(self, record: bytes) -> Push | None:
        try:
            return msgspec.json.decode(record, type=Push)
        except ValueError:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("cannot read a record, which a newer release may have written: %s", POSTPONED)
            return None

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        with map_redis_errors():
            await self._redis.hdel(POSTPONED, push.id)


def _key(push_id: str) -> str:
    return f"wxlogin:push:{push_id}"
