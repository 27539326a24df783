"""The records of sessions in Redis."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from adapters.redis.records import decode_ended, decode_session, encode_ended, encode_session
from domain.device import Device
from domain.errors import StoreUnavailable
from domain.identity import AppId, Identity
from domain.session import EndedSession, EndReason, Session

NOW = datetime(2026, 11, 28, 12, 0, 0, 123456, UTC)
SESSION = Session(
    id="0123456789abcdef0123456789abcdef",
    user_id="01890a5d-ac96-774b-bcce-b302099a8057",
    identity=Identity(AppId("wx0123456789abcdef"), "oABC", "uXYZ"),
    device=Device("iPhone · iOS 17.4 · WeChat 8.0.49", "203.0.113.7"),
    created_at=NOW,
    last_seen_at=NOW + timedelta(hours=1),
    idle_expires_at=NOW + timedelta(days=7),
    expires_at=NOW + timedelta(days=30),
)
ENDED = EndedSession(EndReason.REPLACED, NOW)

WRITTEN = (
    "9b01d92430313839306135642d616339362d373734622d626363652d623330323039396138303537b2777830313233343536"
    "373839616263646566a46f414243a47558595ad9236950686f6e6520c2b720694f532031372e3420c2b72057654368617420"
    "382e302e3439ab3230332e302e3131332e37d7ff1d6f28006b0ac240d7ff1d6f28006b0ad050d7ff1d6f28006b13fcc0d7ff"
    "1d6f28006b324f40"
)
"""The session in the layout of version 1."""


def test_the_layout_of_version_1_is_fixed() -> None:
    """The layout of version 1 is fixed, so that each release finds the sessions of earlier releases."""
    assert encode_session(SESSION).hex() == WRITTEN
    assert decode_session(SESSION.id, bytes.fromhex(WRITTEN)) == SESSION


def test_the_user_and_the_app_are_where_scripts_read_them() -> None:
    """A record begins with a head of one byte, the version, the user's id and the appid, as OWNER_FUNCTION expects."""
    head, *values = encode_session(SESSION)
    expected = [1, SESSION.user_id, SESSION.identity.appid.value]

    assert head & 0xF0 == 0x90  # an array of at most 15 values
    assert bytes(values).startswith(b"".join(msgspec.msgpack.encode(value) for value in expected))


@pytest.mark.parametrize("missing", [{"unionid": None}, {}])
def test_absent_fields_stay_absent(missing: dict[str, Any]) -> None:
    """A session without unionid, device or address is decoded without them."""
    bare = replace(SESSION, identity=replace(SESSION.identity, **missing), device=Device())

    assert decode_session(bare.id, encode_session(bare)) == bare


def test_the_reason_of_an_end_is_decoded() -> None:
    """The reason of an end and its retention are decoded unchanged."""
    assert decode_ended(encode_ended(ENDED)) == ENDED


@pytest.mark.parametrize("record", [[2, "whatever", 1], [2]])
def test_a_record_of_a_newer_release_ends_no_session(record: list[object]) -> None:
    """A record of a newer release raises StoreUnavailable. Two releases can run side by side without log-outs."""
    with pytest.raises(StoreUnavailable, match="newer"):
        decode_session(SESSION.id, msgspec.msgpack.encode(record))
    with pytest.raises(StoreUnavailable, match="newer"):
        decode_ended(msgspec.msgpack.encode(record))
