"""Sessions in Redis 6.2 or newer: one key a session, one set a user. All commands work on clusters.

    wx:s:<session id>  the record, until its retention ends
    wx:e:<session id>  the reason why it was ended, until its retention ends
    wx:u:<user id>     the user's sessions and session_keys: adapters/redis/records.py

A session's member of the set has three parts: when it was created and when it expires, in milliseconds since 1970, six
bytes each, and its id. So members sort by age.

An ended session is deleted, and a touch only overwrites an existing record, so it cannot revive the session. The keys
of a cluster are on several nodes, of which one may fail. So the record is written before the member, and the member is
removed after the record: each live session is in its user's set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from adapters.redis.connections import Client, Command, map_redis_errors, run
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.reader import Reader
from adapters.redis.records import (
    KEEP_UNTIL,
    decode_ended,
    decode_session,
    encode_ended,
    encode_session,
    millis,
    second,
    set_of,
    time_of,
)
from application.ports.session_store import SessionStore
from domain.session import EndedSession, EndReason, Session
from domain.session_key import SessionKey

ADD = f"""{KEEP_UNTIL}
local set, member, now, idle_expires_at, millis, limit = KEYS[1], unpack(ARGV)
local second = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', set, '(-' .. second, '(' .. second)
redis.call('ZADD', set, idle_expires_at, member)
keep_until(set, millis)
if limit == '0' or redis.call('ZCOUNT', set, now, '+inf') <= tonumber(limit) then return {{}} end
return redis.call('ZRANGEBYSCORE', set, now, '+inf')
"""
"""Adds a session, removes members that are over by Redis's clock, and returns all live sessions if they exceed the
limit. A host whose clock is ahead counts fewer sessions, but removes none."""

TOUCH = """
local record = redis.call('GET', KEYS[1])
if record and string.find(string.sub(record, 1, 64), ARGV[1], 1, true) then
    redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
end
return record
"""
"""Overwrites a session's record if it exists and is the user's, and returns the old one. In every layout the user's id
comes first."""

MILLIS_BYTES = 6

End = tuple[str, bytes, EndedSession]
"""The user of a session that ends, its member, and what is retained of it."""


class RedisSessionStore(SessionStore):
    """A SessionStore on Redis."""

    def __init__(self, redis: Client, vault: RedisKeyVault) -> None:
        self._redis = redis
        self._reader = Reader(redis)
        self._vault = vault

    async def start(self, session: Session, key: SessionKey, limit: int) -> int:
        """See SessionStore."""
        with map_redis_errors():
            [[*_, members]] = await run(
                self._redis,
                [
                    ("SET", name_of(session.id), encode_session(session), "PXAT", millis(session.retain_until)),
                    self._vault.replacing(session, key, session.created_at),
                    _adding(session, session.created_at, limit),
                ],
            )
        oldest = sorted(members)[:-limit]
        now, why = session.created_at, EndReason.REPLACED
        await self._end_members(
            [(session.user_id, member, EndedSession.of(why, now, _expires_at(member))) for member in oldest]
        )
        return len(oldest)

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        with map_redis_errors():
            if stored := await self._reader.get(name_of(session_id)):
                return decode_session(session_id, stored)
            ended = await self._reader.get(_ended_name(session_id))
        return decode_ended(ended) if ended else None

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        previous = await self._touch(session)
        if previous and previous.user_id != session.user_id:  # it was moved since it was read
            await self._touch(replace(session, user_id=previous.user_id))

    async def _touch(self, session: Session) -> Session | None:
        """Overwrite the session if it exists and is its user's, and return the old one."""
        name, user_set, member = name_of(session.id), set_of(session.user_id), _member(session)
        arguments = (session.user_id, encode_session(session), millis(session.retain_until))
        with map_redis_errors():
            [[record]] = await run(self._redis, [("EVAL", TOUCH, 1, name, *arguments)])
            previous = decode_session(session.id, record) if record else None
            if previous is None or previous.user_id != session.user_id:
                return previous
            # the set may have dropped it: by a clock that is ahead, it was over
            [[_, record]] = await run(
                self._redis, [("ZADD", user_set, second(session.idle_expires_at), member), ("GET", name)]
            )
            current = decode_session(session.id, record) if record else None
            if current is None or current.user_id != session.user_id:  # it ended or moved meanwhile
                await self._redis.zrem(user_set, member)
        return previous

    async def list_for_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        with map_redis_errors():
            [[members]] = await run(self._redis, [("ZRANGEBYSCORE", set_of(user_id), 0, "+inf")])
            ids = [_id(member) for member in members]
            stored = await self._reader.get_many([name_of(session_id) for session_id in ids])
        found = [decode_session(session_id, record) for session_id, record in zip(ids, stored, strict=True) if record]
        return [session for session in found if session and session.user_id == user_id]

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime) -> None:
        """See SessionStore."""
        await self._end_members([(each.user_id, _member(each), each.end(reason, now)) for each in sessions])

    async def _end_members(self, ends: Sequence[End]) -> None:
        """End sessions. After a failure it can be repeated, because members are removed last."""
        with map_redis_errors():
            answers = await run(self._redis, *(_ending(*end) for end in ends))
            await run(self._redis, *_moved(ends, answers))

    async def move(self, from_id: str, into_id: str) -> int:
        """See SessionStore. The new member is written before the old one goes: an end by either finds the session."""
        moving = await self.list_for_user(from_id)
        await self._vault.copy(from_id, into_id)
        for session in moving:
            moved = replace(session, user_id=into_id)
            with map_redis_errors():
                [[_, written, _]] = await run(
                    self._redis,
                    [
                        _adding(moved, session.created_at, 0),
                        ("SET", name_of(session.id), encode_session(moved), "PXAT", millis(session.retain_until), "XX"),
                        ("ZREM", set_of(from_id), _member(session)),
                    ],
                )
                if not written:  # it ended meanwhile
                    await self._redis.zrem(set_of(into_id), _member(session))
        return len(moving)

    async def purge(self, now: datetime) -> int:  # noqa: ARG002  # Redis drops keys by itself
        """See SessionStore."""
        return 0


def name_of(session_id: str) -> str:
    """Return the name under which Redis keeps a session."""
    return f"wx:s:{session_id}"


def _ended_name(session_id: str) -> str:
    return f"wx:e:{session_id}"


def _member(session: Session) -> bytes:
    created_at, expires_at = millis(session.created_at), millis(session.expires_at)
    times = created_at.to_bytes(MILLIS_BYTES, "big") + expires_at.to_bytes(MILLIS_BYTES, "big")
    return times + bytes.fromhex(session.id)


def _id(member: bytes) -> str:
    return member[2 * MILLIS_BYTES :].hex()


def _expires_at(member: bytes) -> datetime:
    return time_of(int.from_bytes(member[MILLIS_BYTES : 2 * MILLIS_BYTES], "big") * 1000)


def _adding(session: Session, now: datetime, limit: int) -> Command:
    times = (second(now), second(session.idle_expires_at), millis(session.expires_at))
    return ("EVAL", ADD, 1, set_of(session.user_id), _member(session), *times, limit)


def _moved(ends: Sequence[End], answers: Sequence[Sequence[Any]]) -> Iterator[list[Command]]:
    """Yield the commands that remove the members of sessions that were moved to another user meanwhile."""
    for (user_id, member, _), [_, record, _] in zip(ends, answers, strict=True):
        session = decode_session(_id(member), record) if record else None
        if session and session.user_id != user_id:
            yield [("ZREM", set_of(session.user_id), member)]


def _ending(user_id: str, member: bytes, ended: EndedSession) -> list[Command]:
    return [
        ("SET", _ended_name(_id(member)), encode_ended(ended), "PXAT", millis(ended.retain_until), "NX"),
        ("GETDEL", name_of(_id(member))),
        ("ZREM", set_of(user_id), member),
    ]
