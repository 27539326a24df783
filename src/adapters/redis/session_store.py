"""Sessions in Redis 6.2 or newer: one key a session, an index a user, and no command that a cluster could not run.

    wx:s:<session id>  the record, gone when it is forgotten
    wx:e:<session id>  why it is over, gone when it is forgotten
    wx:u:<user id>     the sessions not ended, by when they expire unused; sorted by age when sorted by name

What ends is deleted, and a touch only writes what is there: so a touch never brings an ended session back. A session is
written before its index: nobody has its token before both are, and who ends it by the index finds it.

Names and values are short, because there are millions of them: docs/operations.md has what a session costs.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec

from adapters.redis import user_agent
from adapters.redis.client import translated
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.stream import Command
from adapters.redis.times import EPOCH, micros, millis, time_of
from adapters.redis.wire import Wire
from application.ports import SessionStore
from domain.identity import AppId, Identity
from domain.session import Client, EndedSession, EndReason, Session
from domain.session_key import SessionKey

ADD_TO_INDEX = """
local index, now, idle_expires_at, member, expires_at, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] + 0
redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
redis.call('ZADD', index, idle_expires_at, member)
if redis.call('PTTL', index) < expires_at - now then redis.call('PEXPIREAT', index, expires_at) end
local excess = redis.call('ZCARD', index) - limit
if limit == 0 or excess <= 0 then return {} end
local oldest_first = redis.call('ZRANGE', index, 0, -1)
table.sort(oldest_first)
return {unpack(oldest_first, 1, excess)}
"""
"""Adds a member, drops those that expired, and answers with the oldest beyond the limit. One key, one round trip."""


UUID_BYTES = 16


class Record(msgspec.Struct, array_like=True, frozen=True):
    """A session as it is stored. Times are microseconds since 1970; a new field goes to the end, with a default.

    `user_id` is the 16 bytes of a UUID if it is one, as the SQL adapter's are.
    """

    user_id: bytes
    appid: str
    openid: str
    unionid: str | None
    user_agent: bytes | None
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

    def __init__(self, wire: Wire, vault: RedisKeyVault) -> None:
        self._ask = wire.ask
        self._read = wire.reader(_decode)
        self._vault = vault

    async def start(self, session: Session, key: SessionKey, limit: int) -> int:
        """See SessionStore."""
        with translated():
            *_, excess = await self._ask(
                ("SET", _key(session.id), _encode(_record(session)), "PXAT", millis(session.forget_at)),
                self._vault.replacing(session.identity, key, session.created_at, session.expires_at),
                _adding(session, session.created_at, limit),
            )
            if excess:
                await self._ask(*_replacing(session, excess))
        return len(excess)

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        with translated():
            return await self._read(_key(session_id)) or await self._read(_ended_key(session_id))

    async def recall(self, session_ids: Sequence[str]) -> list[Session]:
        """See SessionStore."""
        with translated():
            found = await self._read.recall([_key(session_id) for session_id in session_ids])
        return [session for session in found if isinstance(session, Session)]

    async def touch(self, session: Session) -> None:
        """See SessionStore. What it overwrites tells whether the session moved meanwhile: then it is put right."""
        overwritten = await self._overwrite(session)
        if overwritten and (user_id := _user_id(_decode_record(overwritten))) != session.user_id:
            await self._overwrite(replace(session, user_id=user_id))

    async def _overwrite(self, session: Session) -> bytes | None:
        with translated():
            overwritten, _ = await self._ask(
                ("SET", _key(session.id), _encode(_record(session)), "PXAT", millis(session.forget_at), "XX", "GET"),
                ("ZADD", _index(session.user_id), "XX", millis(session.idle_expires_at), _member(session)),
            )
        return overwritten  # type: ignore[no-any-return]  # Redis answers anything

    async def of_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        with translated():
            [members] = await self._ask(("ZRANGE", _index(user_id), 0, -1))
            found = await asyncio.gather(*(self._read(_key(_id(member))) for member in members))
        return [session for session in found if isinstance(session, Session)]

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime) -> None:
        """See SessionStore."""
        commands = [
            command
            for session in sessions
            for command in _ending(session.user_id, _member(session), session.end(reason, now))
        ]
        if commands:
            with translated():
                await self._ask(*commands)

    async def move(self, from_id: str, into_id: str) -> int:
        """See SessionStore. The new index is written before the old one goes: an end by either finds the session."""
        moving = await self.of_user(from_id)
        for session in moving:
            moved = replace(session, user_id=into_id)
            with translated():
                await self._ask(
                    _adding(moved, EPOCH, 0),
                    ("SET", _key(session.id), _encode(_record(moved)), "PXAT", millis(session.forget_at), "XX"),
                    ("ZREM", _index(from_id), _member(session)),
                )
        return len(moving)

    async def purge(self, now: datetime) -> int:  # noqa: ARG002  # Redis drops keys by itself
        """See SessionStore."""
        return 0


def _key(session_id: str) -> str:
    return f"wx:s:{session_id}"


def _ended_key(session_id: str) -> str:
    return f"wx:e:{session_id}"


def _index(user_id: str) -> str:
    return f"wx:u:{user_id}"


def _member(session: Session) -> bytes:
    """When it was created and when it expires, in milliseconds since 1970 of six bytes each, and its id."""
    created_at, expires_at = millis(session.created_at), millis(session.expires_at)
    return created_at.to_bytes(6, "big") + expires_at.to_bytes(6, "big") + bytes.fromhex(session.id)


def _id(member: bytes) -> str:
    return member[12:].hex()


def _adding(session: Session, now: datetime, limit: int) -> Command:
    idle_expires_at, expires_at = millis(session.idle_expires_at), millis(session.expires_at)
    index, member = _index(session.user_id), _member(session)
    return ("EVAL", ADD_TO_INDEX, 1, index, millis(now), idle_expires_at, member, expires_at, limit)


def _replacing(newest: Session, members: Sequence[bytes]) -> list[Command]:
    """What ends the sessions of these members of the index, for the sake of a newer one."""
    return [
        command
        for member in members
        for command in _ending(
            newest.user_id,
            member,
            EndedSession.of(EndReason.REPLACED, newest.created_at, time_of(int.from_bytes(member[6:12], "big") * 1000)),
        )
    ]


def _ending(user_id: str, member: bytes, ended: EndedSession) -> list[Command]:
    value = _encode(Ended(ended.reason, micros(ended.forget_at)))
    return [
        ("SET", _ended_key(_id(member)), value, "PXAT", millis(ended.forget_at), "NX"),
        ("DEL", _key(_id(member))),
        ("ZREM", _index(user_id), member),
    ]


def _pack_user_id(user_id: str) -> bytes:
    with suppress(ValueError):
        if str(uuid := UUID(user_id)) == user_id:
            return uuid.bytes
    text = user_id.encode()
    return text + b"\0" if len(text) == UUID_BYTES else text


def _user_id(record: Record) -> str:
    if len(record.user_id) == UUID_BYTES:
        return str(UUID(bytes=record.user_id))
    return record.user_id.rstrip(b"\0").decode()


def _record(session: Session) -> Record:
    return Record(
        _pack_user_id(session.user_id),
        session.identity.appid.value,
        session.identity.openid,
        session.identity.unionid,
        None if session.client.user_agent is None else user_agent.pack(session.client.user_agent),
        session.client.ip,
        micros(session.created_at),
        micros(session.last_seen_at),
        micros(session.idle_expires_at),
        micros(session.expires_at),
    )


def _decode(key: str, value: bytes) -> Session | EndedSession:
    if key.startswith("wx:s:"):
        return _session(key[5:], _decode_record(value))
    ended = _decode_ended(value)
    return EndedSession(ended.reason, time_of(ended.forget_at))


def _session(session_id: str, record: Record) -> Session:
    return Session(
        id=session_id,
        user_id=_user_id(record),
        identity=Identity(AppId(record.appid), record.openid, record.unionid),
        client=Client(None if record.user_agent is None else user_agent.unpack(record.user_agent), record.ip),
        created_at=time_of(record.created_at),
        last_seen_at=time_of(record.last_seen_at),
        idle_expires_at=time_of(record.idle_expires_at),
        expires_at=time_of(record.expires_at),
    )
