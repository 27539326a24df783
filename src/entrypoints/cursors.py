"""Cursors: where the next page of a list begins, as text that callers return unchanged."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from domain.errors import RequestInvalid

T = TypeVar("T")

REFUSED = "cursor is not one that this list returned as `next`"


def encode_cursor(position: object) -> str:
    """Return the cursor of a position."""
    return urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[T] | Any) -> T:
    """Return the position of a cursor. Raises RequestInvalid for a text that `encode_cursor` does not return."""
    try:
        position: T = msgspec.json.decode(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)), type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise RequestInvalid(REFUSED) from None
    if encode_cursor(position) != cursor:
        raise RequestInvalid(REFUSED)
    return position


def decode_event_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the time and the id of an event, where a page begins. Raises RequestInvalid, also for no time in UTC."""
    position: tuple[datetime, str] = decode_cursor(cursor, tuple[datetime, str])
    if position[0].utcoffset() != timedelta(0):
        raise RequestInvalid(REFUSED)
    return position
