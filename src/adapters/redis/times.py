"""Times as they are stored: whole numbers since 1970, UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIME_BYTES = 7
"""Of a time in microseconds, for 2,283 years."""


def micros(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def millis(time: datetime) -> int:
    """Milliseconds since 1970, as Redis expires keys."""
    return micros(time) // 1000


def second(time: datetime) -> int:
    """Whole seconds since 1970: as a score, half of what milliseconds take."""
    return micros(time) // 1_000_000


def time_of(micros: int) -> datetime:
    """The time of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def pack_time(time: datetime) -> bytes:
    """Its microseconds, so that bytes sort as times do."""
    return micros(time).to_bytes(TIME_BYTES, "big")


def unpack_time(packed: bytes) -> datetime:
    """The same again."""
    return time_of(int.from_bytes(packed, "big"))
