"""Session_keys in Redis, encrypted: one hash an account, and no command that a cluster could not run.

wxlogin:{<appid>:<openid>}:keys   current, its id; previous, replaced_at (microseconds since 1970)
"""

from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from adapters.redis.client import translated
from adapters.redis.times import micros, millis, time_of
from adapters.sealing import Sealer
from application.ports import KeyVault
from domain.errors import DataUndecryptable
from domain.identity import Identity
from domain.session_key import KeyRing, Reencrypted, SessionKey

REPLACE = """
local keys, id, sealed, now, until_ = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local known_id, known = unpack(redis.call('HMGET', keys, 'id', 'current'))
if known and known_id ~= id then
    redis.call('HSET', keys, 'previous', known, 'replaced_at', now)
end
redis.call('HSET', keys, 'id', id, 'current', sealed)
if redis.call('PTTL', keys) < until_ - math.floor(now / 1000) then
    redis.call('PEXPIREAT', keys, until_)
end
"""
"""Makes a key the newest; one with the id of the newest replaces nothing. Lives as long as a session."""

SWAP = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
"""
"""Writes a field, unless a login wrote it meanwhile."""

SCANNED = 500
"""How many keys one step of a scan looks at."""


class RedisKeyVault(KeyVault):
    """A KeyVault on Redis."""

    def __init__(self, redis: Redis, sealer: Sealer) -> None:
        self._redis = redis
        self._sealer = sealer

    async def find(self, identity: Identity) -> KeyRing:
        """See KeyVault."""
        with translated():
            fields: list[Any] = await self._redis.hmget(_key(identity), ["current", "previous", "replaced_at"])
        current, previous, replaced_at = fields
        if current is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        return self._sealer.open_ring(current, previous, replaced_at and time_of(int(replaced_at)))

    async def replace(self, identity: Identity, key: SessionKey, now: datetime, until: datetime) -> None:
        """See KeyVault."""
        pipeline = self._redis.pipeline(transaction=False)
        self.replace_in(pipeline, identity, key, now, until)
        with translated():
            await pipeline.execute()

    def replace_in(
        self, pipeline: Pipeline, identity: Identity, key: SessionKey, now: datetime, until: datetime
    ) -> None:
        """The same, as part of a pipeline: a login needs no round trip more."""
        sealed = self._sealer.seal(key.value)
        pipeline.eval(REPLACE, 1, _key(identity), key.fingerprint, sealed, micros(now), millis(until))

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        done = lost = 0
        with translated():
            async for key in self._redis.scan_iter("wxlogin:{*}:keys", count=SCANNED):
                for field in ("current", "previous"):
                    if sealed := await self._redis.hget(key, field):
                        is_done = await self._reseal(key, field, sealed)
                        done, lost = done + is_done, lost + (not is_done)
        return Reencrypted(done, lost)

    async def _reseal(self, key: bytes, field: str, sealed: Any) -> bool:
        try:
            resealed = self._sealer.reseal(sealed)
        except DataUndecryptable:
            return False
        await self._redis.eval(SWAP, 1, key, field, sealed, resealed)
        return True


def _key(identity: Identity) -> str:
    return f"wxlogin:{{{identity.appid.value}:{identity.openid}}}:keys"
