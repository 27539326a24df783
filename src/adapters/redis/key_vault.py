"""Session_keys in Redis, encrypted: two keys an account, in one hash slot.

    wx:k:{<appid>:<openid>}  the newest: the 8 bytes of its fingerprint, and Fernet's token without its base64
    wx:p:{<appid>:<openid>}  the one before: when it was replaced, in microseconds since 1970 of 8 bytes, and the same;
                             gone as soon as nobody may try it any more

Strings, because a hash with values this long takes almost twice the memory.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
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
from domain.session_key import PREVIOUS_KEPT, KeyRing, Reencrypted, SessionKey

REPLACE = """
local key, id, sealed, now, until_ = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local known = redis.call('GET', key)
if known and string.sub(known, 1, 8) ~= id then
    redis.call('SET', KEYS[2], ARGV[5] .. string.sub(known, 9), 'PX', ARGV[6])
end
if redis.call('PTTL', key) < until_ - now then
    redis.call('SET', key, id .. sealed, 'PXAT', until_)
else
    redis.call('SET', key, id .. sealed, 'KEEPTTL')
end
"""
"""Makes a key the newest; one with the id of the newest replaces nothing. Lives as long as a session."""

SWAP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end
"""
"""Writes, unless a login wrote meanwhile."""

HEAD = 8
"""How many bytes stand before what is sealed."""

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
            [[current, previous]] = await self._ask(("MGET", *_keys(identity)))
        if current is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        if previous is None:
            return self._sealer.open_ring(_sealed(current), None, None)
        replaced_at = time_of(int.from_bytes(previous[:HEAD], "big"))
        return self._sealer.open_ring(_sealed(current), _sealed(previous), replaced_at)

    async def replace(self, identity: Identity, key: SessionKey, now: datetime, until: datetime) -> None:
        """See KeyVault."""
        with translated():
            await self._ask(self.replacing(identity, key, now, until))

    def replacing(self, identity: Identity, key: SessionKey, now: datetime, until: datetime) -> Command:
        """The command that does it: a login sends it along with others."""
        sealed, replaced_at = urlsafe_b64decode(self._sealer.seal(key.value)), micros(now).to_bytes(HEAD, "big")
        times = (millis(now), millis(until), replaced_at, PREVIOUS_KEPT // timedelta(milliseconds=1))
        return ("EVAL", REPLACE, 2, *_keys(identity), bytes.fromhex(key.fingerprint), sealed, *times)

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        total = Reencrypted()
        with translated():
            for kind in ("wx:k:*", "wx:p:*"):
                async for key in self._redis.scan_iter(kind, count=SCANNED):
                    total += await self._reencrypt(key)
        return total

    async def _reencrypt(self, key: bytes) -> Reencrypted:
        value: Any = await self._redis.get(key)
        if value is None:
            return Reencrypted()
        [sealed], counted = self._sealer.reseal(_sealed(value).decode())
        await self._redis.eval(SWAP, 1, key, value, value[:HEAD] + urlsafe_b64decode(sealed))
        return counted


def _keys(identity: Identity) -> tuple[str, str]:
    account = f"{{{identity.appid.value}:{identity.openid}}}"
    return f"wx:k:{account}", f"wx:p:{account}"


def _sealed(value: bytes) -> bytes:
    return urlsafe_b64encode(value[HEAD:])
