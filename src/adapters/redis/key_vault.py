"""Session_keys in Redis, encrypted: one key an account, and no command that a cluster could not run.

    wxlogin:{<appid>:<openid>}:keys   id|current, and after a change |replaced_at|previous; microseconds since 1970

One string, because a hash with values this long takes almost twice the memory.
"""

from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from adapters.redis.client import translated
from adapters.redis.stream import Command
from adapters.redis.times import micros, millis, time_of
from adapters.redis.wire import Wire
from adapters.sealing import Sealer
from application.ports import KeyVault
from domain.errors import DataUndecryptable
from domain.identity import Identity
from domain.session_key import KeyRing, Reencrypted, SessionKey

REPLACE = """
local key, id, sealed, now, until_ = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local known, value = redis.call('GET', key), id .. '|' .. sealed
if known then
    local known_id, current, before = string.match(known, '^([^|]*)|([^|]*)(.*)$')
    value = value .. (known_id == id and before or '|' .. now .. '|' .. current)
end
if redis.call('PTTL', key) < until_ - math.floor(now / 1000) then
    redis.call('SET', key, value, 'PXAT', until_)
else
    redis.call('SET', key, value, 'KEEPTTL')
end
"""
"""Makes a key the newest; one with the id of the newest replaces nothing. Lives as long as a session."""

SWAP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end
"""
"""Writes, unless a login wrote meanwhile."""

SCANNED = 200
"""How many keys one step of a scan looks at: a tenth of a millisecond of Redis's time."""


class RedisKeyVault(KeyVault):
    """A KeyVault on Redis."""

    def __init__(self, redis: Redis, wire: Wire, sealer: Sealer) -> None:
        self._redis = redis
        self._ask = wire.ask
        self._sealer = sealer

    async def find(self, identity: Identity) -> KeyRing:
        """See KeyVault."""
        with translated():
            [value] = await self._ask(("GET", _key(identity)))
        if value is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        _, current, *before = value.split(b"|")
        replaced_at, previous = before or (None, None)
        return self._sealer.open_ring(current, previous, replaced_at and time_of(int(replaced_at)))

    async def replace(self, identity: Identity, key: SessionKey, now: datetime, until: datetime) -> None:
        """See KeyVault."""
        with translated():
            await self._ask(self.replacing(identity, key, now, until))

    def replacing(self, identity: Identity, key: SessionKey, now: datetime, until: datetime) -> Command:
        """The command that does it: a login sends it along with others."""
        sealed = self._sealer.seal(key.value)
        return ("EVAL", REPLACE, 1, _key(identity), key.fingerprint, sealed, micros(now), millis(until))

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        total = Reencrypted()
        with translated():
            async for key in self._redis.scan_iter("wxlogin:{*}:keys", count=SCANNED):
                total += await self._reencrypt(key)
        return total

    async def _reencrypt(self, key: bytes) -> Reencrypted:
        value: Any = await self._redis.get(key)
        if value is None:
            return Reencrypted()
        parts = value.decode().split("|")
        parts[1::2], counted = self._sealer.reseal(*parts[1::2])
        await self._redis.eval(SWAP, 1, key, value, "|".join(parts))
        return counted


def _key(identity: Identity) -> str:
    return f"wxlogin:{{{identity.appid.value}:{identity.openid}}}:keys"
