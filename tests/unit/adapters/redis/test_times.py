"""Times as they are stored."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.redis.times import pack_length, pack_time, unpack_length, unpack_time

DAY = timedelta(days=1)
UTC_TIMES = st.datetimes(datetime(1970, 1, 1), datetime(4200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # naive bounds


@given(UTC_TIMES)
def test_a_time_comes_back(time: datetime) -> None:
    """Times are kept to the microsecond."""
    assert unpack_time(pack_time(time)) == time


@given(UTC_TIMES, UTC_TIMES)
def test_bytes_sort_as_times_do(one: datetime, other: datetime) -> None:
    """The earlier time has the smaller bytes."""
    assert (pack_time(one) < pack_time(other)) == (one < other)


@given(st.timedeltas(timedelta(), 3000 * 365 * DAY))
def test_a_length_comes_back(length: timedelta) -> None:
    """Lengths of time are kept to the microsecond, and end where the next thing begins."""
    packed = pack_length(length)

    assert unpack_length(b"before" + packed + b"after", 6) == (length, 6 + len(packed))


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(), "00000000"),
        (30 * DAY, "00278d00"),
        (timedelta(seconds=2**31 - 1), "7fffffff"),
        (timedelta(seconds=2**31), "8007a12000000000"),
        (timedelta(microseconds=1), "8000000000000001"),
    ],
    ids=str,
)
def test_whole_seconds_take_half(length: timedelta, written: str) -> None:
    """What was set has four bytes; what has microseconds, or no end, has eight; an earlier version wrote the same."""
    assert pack_length(length).hex() == written
    assert unpack_length(bytes.fromhex(written), 0) == (length, len(written) // 2)
