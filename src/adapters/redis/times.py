"""Times for Redis: whole numbers since 1970, UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Return microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def millis(time: datetime) -> int:
    """Return milliseconds since 1970, as Redis expires keys."""
    return micros(time) // 1000


def second(time: datetime) -> int:
    """Return whole seconds since 1970: as a score they take half the memory of milliseconds."""
    return micros(time) // 1_000_000


def time_of(micros: int) -> datetime:
    """Return the time of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)
