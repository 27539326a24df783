"""session_keys in Redis, encrypted, in the set of their user: adapters/redis/records.py.

    k <account> <encrypted>                the current key of an account
    p <account> <replaced at> <encrypted>  the previous key, while it may be used

The account is the beginning of a hash, and the time is in microseconds.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial

from adapters.crypto.ciphers import SivCipher, open_ring
from adapters.redis.connections import Command, RedisClient, map_redis_errors, run, run_all
from adapters.redis.records import KEEP_UNTIL_FUNCTION, from_micros, micros, millis, seconds, set_of
from application.ports.key_vault import KeyVault
from domain.errors import DataUndecryptable
from domain.identity import Identity
from domain.session import Session
from domain.session_key import PREVIOUS_KEY_LIFETIME, KeyRing, Reencrypted, SessionKey

FIND_MEMBER_FUNCTION = """
local function find_member(set, head)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', '(0')) do
        if string.sub(member, 1, #head) == head then return member end
    end
end
"""
"""A function for scripts: returns the member of a set that begins with a prefix."""

REPLACE_SCRIPT = f"""{KEEP_UNTIL_FUNCTION}{FIND_MEMBER_FUNCTION}
local set, current, previous, encrypted, replaced_at, score, previous_score, millis = KEYS[1], unpack(ARGV)
local replaced = find_member(set, current)
if replaced then score = math.min(score, redis.call('ZSCORE', set, replaced)) end
redis.call('ZADD', set, score, current .. encrypted)
if replaced and replaced ~= current .. encrypted then
    redis.call('ZREM', set, replaced, find_member(set, previous) or replaced)
    redis.call('ZADD', set, previous_score, previous .. replaced_at .. string.sub(replaced, #current + 1))
end
keep_until(set, millis)
"""
"""Makes a key the current one of its account. Does nothing if it is already."""

ADOPT_SCRIPT = f"""{KEEP_UNTIL_FUNCTION}{FIND_MEMBER_FUNCTION}
local set, head, member, score = KEYS[1], unpack(ARGV)
if find_member(set, head) then return end
redis.call('ZADD', set, score, member)
keep_until(set, -score * 1000)
"""
"""Adds a key of another user, unless the set has one of this account."""

LIST_SCRIPT = "return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0', 'WITHSCORES')"
"""A script, because without one Redis answers scores in several ways."""

REENCRYPT_SCRIPT = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and ARGV[1] ~= ARGV[2] then
    redis.call('ZADD', KEYS[1], score, ARGV[2])
    redis.call('ZREM', KEYS[1], ARGV[1])
end
"""
"""Replaces a member, unless a login has replaced it. Adds before it removes: Redis deletes empty sets."""

CURRENT, PREVIOUS = b"k", b"p"
TIME_BYTES = 7
"""The size of a time in microseconds since 1970."""
HEAD = 8
"""The size of the letter and the account."""

SCAN_COUNT = 200
"""How many keys one SCAN returns, and for how many users one round trip encrypts keys."""


class RedisKeyVault(KeyVault):
    """A KeyVault on Redis."""

    def __init__(self, redis: RedisClient, cipher: SivCipher) -> None:
        self._redis = redis
        self._cipher = cipher

    async def get(self, session: Session) -> KeyRing:
        """See KeyVault."""
        with map_redis_errors():
            [members] = await run(self._redis, [("ZRANGEBYSCORE", set_of(session.user_id), "-inf", "(0")])
        account, kept = _account(session.identity), {member[:HEAD]: member[HEAD:] for member in members}
        if (current := kept.get(CURRENT + account)) is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        opened = partial(self._cipher.decrypt, account)
        if (previous := kept.get(PREVIOUS + account)) is None:
            return open_ring(opened, current, None, None)
        return open_ring(opened, current, previous[TIME_BYTES:], _time_in(previous))

    async def replace(self, session: Session, key: SessionKey, now: datetime) -> None:
        """See KeyVault."""
        with map_redis_errors():
            await run(self._redis, [self.replace_command(session, key, now)])

    def replace_command(self, session: Session, key: SessionKey, now: datetime) -> Command:
        """Return the command of `replace`, which a login sends with others."""
        account = _account(session.identity)
        encrypted, replaced_at = self._cipher.encrypt(account, key), micros(now).to_bytes(TIME_BYTES, "big")
        scores = (-seconds(session.expires_at), -seconds(now + PREVIOUS_KEY_LIFETIME))
        arguments = (CURRENT + account, PREVIOUS + account, encrypted, replaced_at, *scores, millis(session.expires_at))
        return ("EVAL", REPLACE_SCRIPT, 1, set_of(session.user_id), *arguments)

    async def erase(self, user_id: str, accounts: Sequence[Identity]) -> None:  # noqa: ARG002  # keys are by user
        """See KeyVault. Leaves the members of sessions."""
        with map_redis_errors():
            await run(self._redis, [("ZREMRANGEBYSCORE", set_of(user_id), "-inf", "(0")])

    async def copy(self, source_id: str, target_id: str) -> None:
        """Copy the keys of one user to another, except for accounts of which the other has a key."""
        with map_redis_errors():
            flat = await self._redis.eval(LIST_SCRIPT, 1, set_of(source_id))
            for member, score in zip(flat[::2], flat[1::2], strict=True):
                await self._redis.eval(ADOPT_SCRIPT, 1, set_of(target_id), member[:HEAD], member, score)

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        total = Reencrypted()
        with map_redis_errors():
            async for sets in _batches(self._redis.scan_iter("wxlogin:u:*", count=SCAN_COUNT)):
                found = await run_all(self._redis, [[("ZRANGEBYSCORE", name, "-inf", "(0")] for name in sets])
                swaps: list[list[Command]] = []
                for name, [members] in zip(sets, found, strict=True):
                    for member in members:
                        reencrypted, counted = self._reencrypted(member)
                        swaps.append([("EVAL", REENCRYPT_SCRIPT, 1, name, member, reencrypted)])
                        total += counted
                await run_all(self._redis, swaps)
        return total

    def _reencrypted(self, member: bytes) -> tuple[bytes, Reencrypted]:
        head = HEAD + (TIME_BYTES if member.startswith(PREVIOUS) else 0)
        reencrypted, counted = self._cipher.reencrypt(member[len(CURRENT) : HEAD], member[head:])
        return member[:head] + reencrypted, counted


async def _batches(names: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    batch = []
    async for name in names:
        batch.append(name)
        if len(batch) == SCAN_COUNT:
            yield batch
            batch = []
    if batch:
        yield batch


def _time_in(member: bytes) -> datetime:
    return from_micros(int.from_bytes(member[:TIME_BYTES], "big"))


def _account(identity: Identity) -> bytes:
    text = f"{identity.appid.value}:{identity.openid}"
    return hashlib.sha256(text.encode()).digest()[: HEAD - len(CURRENT)]
