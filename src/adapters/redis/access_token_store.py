"""Access tokens in Redis: two keys for each app, in one hash slot.

wxlogin:{<appid>}:token   the encrypted state; expires a day after its last change
wxlogin:{<appid>}:lease   the holder of the lease; expires with it
"""

from datetime import datetime, timedelta

from adapters.crypto.access_token_format import decode_state, encode_state
from adapters.crypto.ciphers import FernetCipher
from adapters.redis.connections import RedisClient, map_redis_errors
from application.ports.access_token_store import AccessTokenStore
from domain.access_token import AccessTokenState
from domain.identity import AppId

STATE_RETENTION = timedelta(days=1)
"""How long the state is kept: longer than a token is valid."""

RELEASE_SCRIPT = """
local token, lease, holder, encoded, kept = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', lease) == holder then
    redis.call('SET', token, encoded, 'PX', kept)
    redis.call('DEL', lease)
end
"""
"""Writes the state and deletes the lease, unless another holder has it."""


class RedisAccessTokenStore(AccessTokenStore):
    """An AccessTokenStore on Redis, for all processes and hosts that share it."""

    def __init__(self, redis: RedisClient, cipher: FernetCipher) -> None:
        self._redis = redis
        self._cipher = cipher

    async def load(self, appid: AppId) -> AccessTokenState:
        """See AccessTokenStore."""
        with map_redis_errors():
            return decode_state(await self._redis.get(_token(appid)), self._cipher)

    async def acquire_lease(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:  # noqa: ARG002  # Redis has a clock
        """See AccessTokenStore."""
        with map_redis_errors():
            return bool(await self._redis.set(_lease(appid), holder, nx=True, px=lease))

    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:
        """See AccessTokenStore."""
        kept = STATE_RETENTION // timedelta(milliseconds=1)
        with map_redis_errors():
            encoded = encode_state(state, self._cipher)
            await self._redis.eval(RELEASE_SCRIPT, 2, _token(appid), _lease(appid), holder, encoded, kept)


def _token(appid: AppId) -> str:
    return f"wxlogin:{{{appid}}}:token"


def _lease(appid: AppId) -> str:
    return f"wxlogin:{{{appid}}}:lease"
