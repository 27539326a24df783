"""The layout of sessions and session_keys in Redis: names of keys, scores, times, and records.

    wxlogin:u:<user id>  a sorted set with two kinds of members:
                    sessions that were not ended; score: the second since 1970 in which the session expires unused
                    session_keys; score: minus the second since 1970 in which the retention of the key ends

So one range selects all members that are past their time. With a retention of 300 seconds, at second 1000 this is -1000
to 700: a session that expired at 600 has the score 600, a key retained until 900 has -900. A session that expired at
800 and whose record is retained has 800, a key retained until 1100 has -1100: both are outside. The set expires with
the record that is retained longest.

Records are MessagePack arrays, each with the version of its layout in front. A new layout is a new struct with the next
version. The ones before stay readable for as long as sessions live, so that an upgrade logs no one out.
"""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from domain.device import Device
from domain.errors import StoreUnavailable
from domain.identity import AppId, Identity
from domain.session import EndedSession, EndReason, Session

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

KEEP_UNTIL_FUNCTION = """
local function keep_until(set, millis)
    local left, time = redis.call('PTTL', set), redis.call('TIME')
    if left < 0 or left < millis - time[1] * 1000 - time[2] / 1000 then redis.call('PEXPIREAT', set, millis) end
end
"""
"""A function for scripts: sets the expiry of a set, in milliseconds since 1970, unless it is later already."""

OWNER_FUNCTION = """
local function owner_of(record)
    local _, _, user, app = cmsgpack.unpack_limit(record, 3, 1)
    return user, app
end
"""
"""A function for scripts: returns the user's id and the appid of a SessionRecord. It skips the first byte, which is the
head of the array, and then the version."""


def set_of(user_id: str) -> str:
    """Return the name of a user's set."""
    return f"wxlogin:u:{user_id}"


def micros(time: datetime) -> int:
    """Return microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def millis(time: datetime) -> int:
    """Return milliseconds since 1970, as Redis expires keys."""
    return micros(time) // 1000


def seconds(time: datetime) -> int:
    """Return whole seconds since 1970: as a score they take half the memory of milliseconds."""
    return micros(time) // 1_000_000


def from_micros(micros: int) -> datetime:
    """Return the time of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


class SessionRecord(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A session. `device` is a label: 20 characters in place of a user agent's 320.

    OWNER_FUNCTION reads `user_id` and `appid` by their positions, in every version. An array of more than 15 values,
    the version included, would have a longer head.
    """

    user_id: str
    appid: str
    openid: str
    unionid: str | None
    device: str | None
    ip: str | None
    created_at: datetime
    last_seen_at: datetime
    idle_expires_at: datetime
    expires_at: datetime


class EndedRecord(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """An ended session: the reason, and until when it is retained."""

    reason: EndReason
    retain_until: datetime


_encoder = msgspec.msgpack.Encoder()
_sessions = msgspec.msgpack.Decoder(SessionRecord)
_ended = msgspec.msgpack.Decoder(EndedRecord)


def encode_session(session: Session) -> bytes:
    """Return the record of a session."""
    identity, device = session.identity, session.device
    return _encoder.encode(
        SessionRecord(
            session.user_id,
            identity.appid.value,
            identity.openid,
            identity.unionid,
            device.label,
            device.ip,
            session.created_at,
            session.last_seen_at,
            session.idle_expires_at,
            session.expires_at,
        )
    )


def decode_session(session_id: str, stored: bytes) -> Session:
    """Return the session. Raises StoreUnavailable for a version of a newer release, which another process wrote."""
    record = _decode(_sessions, stored)
    return Session(
        session_id,
        record.user_id,
        Identity(AppId(record.appid), record.openid, record.unionid),
        Device(record.device, record.ip),
        record.created_at,
        record.last_seen_at,
        record.idle_expires_at,
        record.expires_at,
    )


def encode_ended(ended: EndedSession) -> bytes:
    """Return the record of an ended session."""
    return _encoder.encode(EndedRecord(ended.reason, ended.retain_until))


def decode_ended(stored: bytes) -> EndedSession:
    """Return the ended session. Raises StoreUnavailable as `decode_session`."""
    record = _decode(_ended, stored)
    return EndedSession(record.reason, record.retain_until)


def _decode(decoder: msgspec.msgpack.Decoder[T], stored: bytes) -> T:
    try:
        return decoder.decode(stored)
    except msgspec.MsgspecError:
        raise StoreUnavailable("Redis holds a record of a newer release of wxlogin, or a damaged one") from None
