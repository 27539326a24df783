"""Rate limits in Redis: one key for each quota in use, which expires when the quota is restored.

wxlogin:limit:<name>:<quota>/<seconds>:<subject>   when it is restored, in microseconds since 1970 by Redis's clock
"""

from datetime import timedelta

from adapters.redis.connections import RedisClient, map_redis_errors
from adapters.redis.records import MICROSECOND
from application.ports.rate_limiter import RateLimiter
from domain.rate_limit import Allowance, RateLimit

TAKE_SCRIPT = """
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local debt = math.max((tonumber(redis.call('GET', KEYS[1])) or now) - now, 0)
if debt + interval > capacity then
    return {0, debt}
end
debt = debt + interval
redis.call('SET', KEYS[1], string.format('%d', now + debt), 'PX', math.ceil(debt / 1000))
return {1, debt}
"""
"""RateLimit.take as a script, on one key. Times are in microseconds."""


class RedisRateLimiter(RateLimiter):
    """A RateLimiter for all processes and hosts that share a Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def take(self, limit: RateLimit, subject: str) -> Allowance:
        """See RateLimiter."""
        interval, capacity = limit.interval // MICROSECOND, limit.capacity // MICROSECOND
        with map_redis_errors():
            admitted, debt = await self._redis.eval(TAKE_SCRIPT, 1, _key(limit, subject), interval, capacity)
        return Allowance(limit, bool(admitted), timedelta(microseconds=debt))


def _key(limit: RateLimit, subject: str) -> str:
    return f"wxlogin:limit:{limit.name}:{limit.quota}/{limit.window // timedelta(seconds=1)}:{subject}"
