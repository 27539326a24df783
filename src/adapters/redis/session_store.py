"""Sessions in Redis 6.2 or newer: one key a session, an index a user, and no command that a cluster could not run.

    wxlogin:{<session id>}:session  the record, gone when it is forgotten
    wxlogin:{<session id>}:ended    why it is over, gone when it is forgotten
    wxlogin:user:<user id>          the sessions not ended, "<created at>:<expires at>:<id>", by when they expire unused

What ends is deleted, and a touch only writes what is there: so a touch never brings an ended session back. A session is
written before its index: nobody has its token before both are, and who ends it by the index finds it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import Pipeline

from adapters.redis.batch import BatchingReader
from adapters.redis.client import translated
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.reads import ClusterReads, TrackedReads
from adapters.redis.times import micros, millis, time_of
from application.ports import SessionStore
from domain.identity import AppId, Identity
from domain.session import Client, EndedSession, EndReason, Session
from domain.session_key import SessionKey

ADD_TO_INDEX = """
local index, now, idle_expires_at, member, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
redis.call('ZADD', index, idle_expires_at, member)
local oldest_first, latest = redis.call('ZRANGE', index, 0, -1), 0
table.sort(oldest_first)
for _, each in ipairs(oldest_first) do
    latest = math.max(latest, tonumber(string.match(each, ':(%d+):')))
end
redis.call('PEXPIREAT', index, string.format('%d', latest))
return limit > 0 and {unpack(oldest_first, 1, #oldest_first - limit)} or {}
"""
"""Adds a member, drops those that expired, and answers with the oldest beyond the limit. One key, one round trip."""


class Record(msgspec.Struct, array_like=True, frozen=True):
    """A session as it is stored. Times are microseconds since 1970; a new field goes to the end, with a default."""

    user_id: str
    appid: str
    openid: str
    unionid: str | None
    user_agent: str | None
    ip: str | None
    created_at: int
    last_seen_at: int
    idle_expires_at: int
    expires_at: int


class Ended(msgspec.Struct, array_like=True, frozen=True):
    """Why a session is over, as it is stored."""

    reason: EndReason
    forget_at: int


_encode = msgspec.msgpack.encode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_ended = msgspec.msgpack.Decoder(Ended).decode


class RedisSessionStore(SessionStore):
    """A SessionStore on Redis."""

    def __init__(self, redis: Redis, vault: RedisKeyVault) -> None:
        self._redis = redis
        self._vault = vault
        reads = ClusterReads if isinstance(redis, RedisCluster) else TrackedReads
        self._reader = BatchingReader(reads(redis, _decode))

    async def start(self, session: Session, key: SessionKey, limit: int) -> None:
        """See SessionStore."""
        now, idle_expires_at = millis(session.created_at), millis(session.idle_expires_at)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(_key(session.id), _encode(_record(session)), pxat=millis(session.forget_at))
        self._vault.replace_in(pipeline, session.identity, key, session.created_at, session.expires_at)
        pipeline.eval(ADD_TO_INDEX, 1, _index(session.user_id), now, idle_expires_at, _member(session), limit)
        with translated():
            *_, excess = await pipeline.execute()
        if excess:
            await self._replace(session, [member.decode() for member in excess])

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        with translated():
            return await self._reader.get(_key(session_id)) or await self._reader.get(_ended_key(session_id))

    async def touch(self, session: Session) -> None:
        """See SessionStore. What it overwrites tells whether the session moved meanwhile: then it is put right."""
        overwritten = await self._overwrite(session)
        if overwritten and (user_id := _decode_record(overwritten).user_id) != session.user_id:
            await self._overwrite(replace(session, user_id=user_id))

    async def _overwrite(self, session: Session) -> bytes | None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(_key(session.id), _encode(_record(session)), pxat=millis(session.forget_at), xx=True, get=True)
        pipeline.zadd(_index(session.user_id), {_member(session): millis(session.idle_expires_at)}, xx=True)
        with translated():
            overwritten, _ = await pipeline.execute()
        return overwritten  # type: ignore[no-any-return]  # a pipeline answers anything

    async def of_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        with translated():
            members: list[Any] = await self._redis.zrange(_index(user_id), 0, -1)
            ids = [_id(member.decode()) for member in members]
            found = await asyncio.gather(*(self._reader.get(_key(session_id)) for session_id in ids))
        return [session for session in found if isinstance(session, Session)]

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime) -> None:
        """See SessionStore."""
        pipeline = self._redis.pipeline(transaction=False)
        for session in sessions:
            _end(pipeline, session.user_id, _member(session), session.end(reason, now))
        with translated():
            await pipeline.execute()

    async def move(self, from_id: str, into_id: str) -> int:
        """See SessionStore. The new index is written before the old one goes: an end by either finds the session."""
        moving = await self.of_user(from_id)
        for session in moving:
            moved, member = replace(session, user_id=into_id), _member(session)
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.eval(ADD_TO_INDEX, 1, _index(into_id), 0, millis(session.idle_expires_at), member, 0)
            pipeline.set(_key(session.id), _encode(_record(moved)), pxat=millis(session.forget_at), xx=True)
            pipeline.zrem(_index(from_id), member)
            with translated():
                await pipeline.execute()
        return len(moving)

    async def _replace(self, newest: Session, members: Sequence[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for member in members:
            expires_at = time_of(int(member.split(":")[1]) * 1000)
            _end(pipeline, newest.user_id, member, EndedSession.of(EndReason.REPLACED, newest.created_at, expires_at))
        with translated():
            await pipeline.execute()

    async def purge(self, now: datetime) -> int:  # noqa: ARG002  # Redis drops keys by itself
        """See SessionStore."""
        return 0


def _key(session_id: str) -> str:
    return f"wxlogin:{{{session_id}}}:session"


def _ended_key(session_id: str) -> str:
    return f"wxlogin:{{{session_id}}}:ended"


def _index(user_id: str) -> str:
    return f"wxlogin:user:{user_id}"


def _member(session: Session) -> str:
    """Sorts by age; times are milliseconds since 1970, of 13 digits until 2286."""
    return f"{millis(session.created_at)}:{millis(session.expires_at)}:{session.id}"


def _id(member: str) -> str:
    return member.split(":")[2]


def _end(pipeline: Pipeline, user_id: str, member: str, ended: EndedSession) -> None:
    value = _encode(Ended(ended.reason, micros(ended.forget_at)))
    pipeline.set(_ended_key(_id(member)), value, pxat=millis(ended.forget_at), nx=True)
    pipeline.delete(_key(_id(member)))
    pipeline.zrem(_index(user_id), member)


def _record(session: Session) -> Record:
    return Record(
        session.user_id,
        session.identity.appid.value,
        session.identity.openid,
        session.identity.unionid,
        session.client.user_agent,
        session.client.ip,
        micros(session.created_at),
        micros(session.last_seen_at),
        micros(session.idle_expires_at),
        micros(session.expires_at),
    )


def _decode(key: str, value: bytes) -> Session | EndedSession:
    if key.endswith(":session"):
        return _session(key[9:41], _decode_record(value))
    ended = _decode_ended(value)
    return EndedSession(ended.reason, time_of(ended.forget_at))


def _session(session_id: str, record: Record) -> Session:
    return Session(
        id=session_id,
        user_id=record.user_id,
        identity=Identity(AppId(record.appid), record.openid, record.unionid),
        client=Client(record.user_agent, record.ip),
        created_at=time_of(record.created_at),
        last_seen_at=time_of(record.last_seen_at),
        idle_expires_at=time_of(record.idle_expires_at),
        expires_at=time_of(record.expires_at),
    )
