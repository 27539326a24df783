"""The clock of the sandbox."""

import pytest

from wechat_sandbox.clock import MAX_ADVANCE_SECONDS, Clock, rfc3339
from wechat_sandbox.errors import ControlRefused


def test_advances_are_added(clock: Clock) -> None:
    """Each advance adds to the current time of the clock."""
    clock.advance(0.5)
    clock.advance(300)

    assert rfc3339(clock.now()) == "2022-11-16T08:43:10.750Z"


@pytest.mark.parametrize("seconds", [-1, -0.001, MAX_ADVANCE_SECONDS + 1, 1e308, float("inf"), float("nan")])
def test_an_invalid_advance_is_refused(clock: Clock, seconds: float) -> None:
    """An advance that is negative or too large is refused, and the clock does not change."""
    with pytest.raises(ControlRefused, match="advance_seconds"):
        clock.advance(seconds)

    assert clock.now() == 1668587890.25


def test_the_limit_applies_to_the_sum_of_advances(clock: Clock) -> None:
    """The limit applies to the sum of all advances."""
    clock.advance(MAX_ADVANCE_SECONDS)

    with pytest.raises(ControlRefused):
        clock.advance(1)


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1.9999999, "1970-01-01T00:00:02.000Z"),
        (1668587890.25, "2022-11-16T08:38:10.250Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(unix: float, text: str) -> None:
    """A time has milliseconds and the suffix Z."""
    assert rfc3339(unix) == text
