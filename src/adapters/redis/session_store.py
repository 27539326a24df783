"""Sessions in Redis 6.2 or newer: one key a session, a set a user, and no command that a cluster could not run.

    wx:s:<session id>  the record, gone when it is forgotten
    wx:e:<session id>  why it is over, and until when that is known; gone when it is forgotten
    wx:u:<user id>     the user's sessions and session_keys: adapters/redis/user_set.py

A session's member of the set is when it was created and when it expires, in milliseconds since 1970 of six bytes each,
and its id: members sort by age.

What ends is deleted, and a touch only writes what is there: so a touch never brings an ended session back. A session is
written before its member: nobody has its token before both are, and who ends it by the set finds it.

Names and values are short, because there are millions of them: docs/decisions/0017-bytes-in-redis.md.
"""

import asyncio
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.redis import user_agent
from adapters.redis.client import translated
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.packing import APPID, IPV4, IPV6, OPENID, UUID, pack, short, unpack
from adapters.redis.stream import Command
from adapters.redis.times import (
    EPOCH,
    TIME_BYTES,
    millis,
    pack_length,
    pack_time,
    second,
    time_of,
    unpack_length,
    unpack_time,
)
from adapters.redis.user_set import KEEP_UNTIL, set_of
from adapters.redis.wire import Wire
from application.ports import SessionStore
from domain.identity import AppId, Identity
from domain.session import Client, EndedSession, EndReason, Session
from domain.session_key import SessionKey

ADD = f"""{KEEP_UNTIL}
local set, member, now, idle_expires_at, millis, limit = KEYS[1], unpack(ARGV)
redis.call('ZREMRANGEBYSCORE', set, '(' .. -now, '(' .. now)
redis.call('ZADD', set, idle_expires_at, member)
keep_until(set, millis)
if limit == '0' or redis.call('ZCOUNT', set, 0, '+inf') <= tonumber(limit) then return {{}} end
return redis.call('ZRANGEBYSCORE', set, 0, '+inf')
"""
"""Adds a session, drops what is over, and answers with all sessions if they are more than the limit."""

MILLIS_BYTES = 6
TEXTS = 5
REASONS = {EndReason.ENDED: b"e", EndReason.REPLACED: b"r"}
REASON_OF = {letter: reason for reason, letter in REASONS.items()}


class RedisSessionStore(SessionStore):
    """A SessionStore on Redis."""

    def __init__(self, wire: Wire, vault: RedisKeyVault) -> None:
        self._ask = wire.ask
        self._read = wire.reader(_decode)
        self._vault = vault

    async def start(self, session: Session, key: SessionKey, limit: int) -> int:
        """See SessionStore."""
        with translated():
            *_, members = await self._ask(
                ("SET", name_of(session.id), _pack(session), "PXAT", millis(session.forget_at)),
                self._vault.replacing(session, key, session.created_at),
                _adding(session, session.created_at, limit),
            )
            oldest = sorted(members)[:-limit]
            if oldest:
                await self._ask(*_replacing(session, oldest))
        return len(oldest)

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        with translated():
            return await self._read(name_of(session_id)) or await self._read(_ended_key(session_id))

    async def find_together(self, session_ids: Sequence[str]) -> list[Session]:
        """See SessionStore."""
        with translated():
            found = await self._read.together([name_of(session_id) for session_id in session_ids])
        return [session for session in found if isinstance(session, Session)]

    async def touch(self, session: Session) -> None:
        """See SessionStore. What it overwrites tells whether the session moved meanwhile: then it is put right."""
        overwritten = await self._overwrite(session)
        if overwritten and (user_id := _user_id(overwritten)) != session.user_id:
            await self._overwrite(replace(session, user_id=user_id))

    async def _overwrite(self, session: Session) -> bytes | None:
        with translated():
            overwritten, _ = await self._ask(
                ("SET", name_of(session.id), _pack(session), "PXAT", millis(session.forget_at), "XX", "GET"),
                ("ZADD", set_of(session.user_id), "XX", second(session.idle_expires_at), _member(session)),
            )
        return overwritten  # type: ignore[no-any-return]  # Redis answers anything

    async def of_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        with translated():
            [members] = await self._ask(("ZRANGEBYSCORE", set_of(user_id), 0, "+inf"))
            found = await asyncio.gather(*(self._read(name_of(_id(member))) for member in members))
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
        """See SessionStore. The new member is written before the old one goes: an end by either finds the session."""
        moving = await self.of_user(from_id)
        await self._vault.copy(from_id, into_id)
        for session in moving:
            moved = replace(session, user_id=into_id)
            with translated():
                await self._ask(
                    _adding(moved, EPOCH, 0),
                    ("SET", name_of(session.id), _pack(moved), "PXAT", millis(session.forget_at), "XX"),
                    ("ZREM", set_of(from_id), _member(session)),
                )
        return len(moving)

    async def purge(self, now: datetime) -> int:  # noqa: ARG002  # Redis drops keys by itself
        """See SessionStore."""
        return 0


def name_of(session_id: str) -> str:
    """The name under which Redis keeps a session."""
    return f"wx:s:{_short(session_id)}"


def _ended_key(session_id: str) -> str:
    return f"wx:e:{_short(session_id)}"


def _short(session_id: str) -> str:
    try:
        return short(bytes.fromhex(session_id))
    except ValueError:  # nobody's; base64 has no colon
        return f":{session_id}"


def _member(session: Session) -> bytes:
    created_at, expires_at = millis(session.created_at), millis(session.expires_at)
    times = created_at.to_bytes(MILLIS_BYTES, "big") + expires_at.to_bytes(MILLIS_BYTES, "big")
    return times + bytes.fromhex(session.id)


def _id(member: bytes) -> str:
    return member[2 * MILLIS_BYTES :].hex()


def _adding(session: Session, now: datetime, limit: int) -> Command:
    times = (second(now), second(session.idle_expires_at), millis(session.expires_at))
    return ("EVAL", ADD, 1, set_of(session.user_id), _member(session), *times, limit)


def _replacing(newest: Session, members: Sequence[bytes]) -> list[Command]:
    """What ends the sessions of these members, for the sake of a newer one."""
    return [
        command
        for member in members
        for command in _ending(
            newest.user_id, member, EndedSession.of(EndReason.REPLACED, newest.created_at, _expires_at(member))
        )
    ]


def _expires_at(member: bytes) -> datetime:
    return time_of(int.from_bytes(member[MILLIS_BYTES : 2 * MILLIS_BYTES], "big") * 1000)


def _ending(user_id: str, member: bytes, ended: EndedSession) -> list[Command]:
    value = REASONS[ended.reason] + pack_time(ended.forget_at)
    return [
        ("SET", _ended_key(_id(member)), value, "PXAT", millis(ended.forget_at), "NX"),
        ("DEL", name_of(_id(member))),
        ("ZREM", set_of(user_id), member),
    ]


def _pack(session: Session) -> bytes:
    identity, client = session.identity, session.client
    return b"".join(
        (
            pack(session.user_id, UUID),
            pack(identity.appid.value, APPID),
            pack(identity.openid, OPENID),
            pack(identity.unionid, OPENID),
            pack(client.ip, IPV4, IPV6),
            pack_time(session.created_at),
            pack_length(session.expires_at - session.created_at),
            pack_length(session.last_seen_at - session.created_at),
            pack_length(session.idle_expires_at - session.last_seen_at),
            b"" if client.user_agent is None else user_agent.pack(client.user_agent),
        )
    )


def _unpack(session_id: str, record: bytes) -> Session:
    (user_id, appid, openid, unionid, ip), at = unpack(record, 0, TEXTS)
    created_at, at = unpack_time(record[at : at + TIME_BYTES]), at + TIME_BYTES
    age, at = unpack_length(record, at)
    seen, at = unpack_length(record, at)
    idle, at = unpack_length(record, at)
    name = user_agent.unpack(record[at:]) if at < len(record) else None
    return Session(
        id=session_id,
        user_id=user_id,
        identity=Identity(AppId(appid), openid, unionid),
        client=Client(name, ip),
        created_at=created_at,
        last_seen_at=created_at + seen,
        idle_expires_at=created_at + seen + idle,
        expires_at=created_at + age,
    )


def _user_id(record: bytes) -> str:
    [user_id], _ = unpack(record, 0, 1)
    return user_id  # type: ignore[no-any-return]  # texts are, or None


def _decode(key: str, value: bytes) -> Session | EndedSession:
    if key.startswith("wx:s:"):
        return _unpack(a2b_base64(f"{key[5:]}==").hex(), value)
    return EndedSession(REASON_OF[value[:1]], unpack_time(value[1:]))
