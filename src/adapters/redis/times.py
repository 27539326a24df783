"""Times as they are stored: whole numbers since 1970, UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
LONG = 1 << 63
"""The bit that says that a length of time has 8 bytes."""
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


def pack_length(length: timedelta) -> bytes:
    """A length of time, not below zero: 4 bytes if it is whole seconds, as most are that were set, or else 8."""
    seconds, rest = divmod(length, SECOND)
    if not rest and seconds < LONG >> 32:
        return seconds.to_bytes(4, "big")
    return (length // MICROSECOND | LONG).to_bytes(8, "big")


def unpack_length(packed: bytes, at: int) -> tuple[timedelta, int]:
    """The length that was packed there, and where it ends."""
    if packed[at] < LONG >> 56:
        return timedelta(seconds=int.from_bytes(packed[at : at + 4], "big")), at + 4
    return timedelta(microseconds=int.from_bytes(packed[at : at + 8], "big") ^ LONG), at + 8
