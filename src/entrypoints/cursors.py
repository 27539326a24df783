"""Cursors: where the next page of a list begins, as text that callers return unchanged."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, TypeVar

import msgspec

from domain.errors import RequestInvalid

T = TypeVar("T")


def encode_cursor(position: object) -> str:
    """Return the cursor of a position."""
    return urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[T] | Any) -> T:
    """Return the position of a cursor. Raises RequestInvalid for a text that `encode_cursor` does not return."""
    try:
        position: T = msgspec.json.decode(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)), type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise RequestInvalid("cursor is not one that this list returned as `next`") from None
    if encode_cursor(position) != cursor:
        raise RequestInvalid("cursor is not one that this list returned as `next`")
    return position
