"""The records of sessions in Redis: MessagePack arrays, each with the version of its layout in front.

A new layout is a new struct with the next version. The ones before stay readable for as long as sessions live, so that
an upgrade logs no one out.
"""

from datetime import datetime
from typing import TypeVar

import msgspec

from domain.device import device_label
from domain.errors import StoreUnavailable
from domain.identity import AppId, Identity
from domain.session import Client, EndedSession, EndReason, Session

T = TypeVar("T")

ARRAYS = range(0x90, 0xA0)
"""The first byte of a MessagePack array of up to 15 elements."""


class SessionRecord(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A session. `device` is a label: 20 characters in place of a user agent's 320."""

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
    identity, client = session.identity, session.client
    return _encoder.encode(
        SessionRecord(
            session.user_id,
            identity.appid.value,
            identity.openid,
            identity.unionid,
            device_label(client.user_agent),
            client.ip,
            session.created_at,
            session.last_seen_at,
            session.idle_expires_at,
            session.expires_at,
        )
    )


def decode_session(session_id: str, stored: bytes) -> Session | None:
    """Return the session; None for records from before layouts had versions.

    Raises StoreUnavailable for a version that is not known: another process, of a newer release, wrote it.
    """
    record = _decode(_sessions, stored)
    if record is None:
        return None
    return Session(
        session_id,
        record.user_id,
        Identity(AppId(record.appid), record.openid, record.unionid),
        Client(record.device, record.ip),
        record.created_at,
        record.last_seen_at,
        record.idle_expires_at,
        record.expires_at,
    )


def encode_ended(ended: EndedSession) -> bytes:
    """Return the record of an ended session."""
    return _encoder.encode(EndedRecord(ended.reason, ended.retain_until))


def decode_ended(stored: bytes) -> EndedSession | None:
    """Return the ended session. None and StoreUnavailable as `decode_session`."""
    record = _decode(_ended, stored)
    return None if record is None else EndedSession(record.reason, record.retain_until)


def _decode(decoder: msgspec.msgpack.Decoder[T], stored: bytes) -> T | None:
    if stored[0] not in ARRAYS:
        return None
    try:
        return decoder.decode(stored)
    except msgspec.MsgspecError:
        raise StoreUnavailable("Redis holds a session that a newer release of wxlogin wrote") from None
