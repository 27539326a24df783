"""Sessions in Redis 6.2 or newer: one key a session, an index a user, and no command that a cluster could not run.

    wxlogin:{<session id>}:session  the record, gone when it is forgotten
    wxlogin:{<session id>}:ended    why it is over, gone when it is forgotten
    wxlogin:user:<user id>          ids of the sessions not ended, by the time they expire at the latest

What ends is deleted, and a touch only writes what is there: so a touch never brings an ended session back.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography.fernet import InvalidToken, MultiFernet
from redis.asyncio import Redis

from adapters.redis.batch import BatchingReader
from adapters.redis.client import translated
from application.ports import SessionStore
from domain.errors import DataUndecryptable, NotFound
from domain.identity import AppId, Identity, SessionKey
from domain.session import Client, EndedSession, EndReason, Session, beyond_limit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


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
    sealed_key: bytes


class Ended(msgspec.Struct, array_like=True, frozen=True):
    """Why a session is over, as it is stored."""

    reason: EndReason
    forget_at: int


_encode = msgspec.msgpack.encode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_ended = msgspec.msgpack.Decoder(Ended).decode


class RedisSessionStore(SessionStore):
    """A SessionStore on Redis."""

    def __init__(self, redis: Redis, cipher: MultiFernet) -> None:
        self._redis = redis
        self._cipher = cipher
        self._reader = BatchingReader(redis)

    async def start(self, session: Session, key: SessionKey, limit: int) -> None:
        """See SessionStore."""
        index, expires_at = _index(session.user_id), _micros(session.expires_at) // 1000
        record = _record(session, self._cipher.encrypt(key.value.encode()))
        async with translated():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zremrangebyscore(index, "-inf", _micros(session.created_at) // 1000)
            pipeline.zadd(index, {session.id: expires_at})
            pipeline.zcard(index)
            pipeline.zrange(index, -1, -1, withscores=True)
            pipeline.pexpireat(index, expires_at)
            pipeline.set(_key(session.id), _encode(record), pxat=_millis_to_forget(session))
            _, _, count, [(_, latest)], _, _ = await pipeline.execute()
            if latest > expires_at:  # sessions used to live longer; keep the index for the old ones
                await self._redis.pexpireat(index, int(latest))
        if limit and count > limit:
            excess = beyond_limit(await self.of_user(session.user_id), limit, session.created_at)
            await self.end(excess, EndReason.REPLACED, session.created_at)

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        async with translated():
            if value := await self._reader.get(_key(session_id)):
                return _session(session_id, _decode_record(value))
            if value := await self._reader.get(_ended_key(session_id)):
                ended = _decode_ended(value)
                return EndedSession(ended.reason, _time(ended.forget_at))
        return None

    async def key_of(self, session_id: str) -> SessionKey:
        """See SessionStore."""
        async with translated():
            value = await self._reader.get(_key(session_id))
        if value is None:
            raise NotFound("There is no such session")
        try:
            return SessionKey(self._cipher.decrypt(_decode_record(value).sealed_key).decode())
        except InvalidToken:
            raise DataUndecryptable("The session's key was encrypted with a key that is gone; log in again") from None

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        async with translated():
            if value := await self._reader.get(_key(session.id)):
                record = _record(session, _decode_record(value).sealed_key)
                await self._redis.set(_key(session.id), _encode(record), pxat=_millis_to_forget(session), xx=True)

    async def of_user(self, user_id: str) -> list[Session]:
        """See SessionStore."""
        async with translated():
            members: list[Any] = await self._redis.zrange(_index(user_id), 0, -1)
            ids = [member.decode() for member in members]
            pipeline = self._redis.pipeline(transaction=False)
            for session_id in ids:
                pipeline.get(_key(session_id))
            values = await pipeline.execute() if ids else []
        found = zip(ids, values, strict=True)
        return [_session(session_id, _decode_record(value)) for session_id, value in found if value]

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime) -> None:
        """See SessionStore."""
        pipeline = self._redis.pipeline(transaction=False)
        for session in sessions:
            forget_at = _micros(session.end(reason, now).forget_at)
            pipeline.set(_ended_key(session.id), _encode(Ended(reason, forget_at)), pxat=forget_at // 1000, nx=True)
            pipeline.delete(_key(session.id))
            pipeline.zrem(_index(session.user_id), session.id)
        async with translated():
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


def _micros(time: datetime) -> int:
    return (time - EPOCH) // MICROSECOND


def _time(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _millis_to_forget(session: Session) -> int:
    return _micros(session.forget_at) // 1000


def _record(session: Session, sealed_key: bytes) -> Record:
    return Record(
        session.user_id,
        session.identity.appid.value,
        session.identity.openid,
        session.identity.unionid,
        session.client.user_agent,
        session.client.ip,
        _micros(session.created_at),
        _micros(session.last_seen_at),
        _micros(session.idle_expires_at),
        _micros(session.expires_at),
        sealed_key,
    )


def _session(session_id: str, record: Record) -> Session:
    return Session(
        id=session_id,
        user_id=record.user_id,
        identity=Identity(AppId(record.appid), record.openid, record.unionid),
        client=Client(record.user_agent, record.ip),
        created_at=_time(record.created_at),
        last_seen_at=_time(record.last_seen_at),
        idle_expires_at=_time(record.idle_expires_at),
        expires_at=_time(record.expires_at),
    )
