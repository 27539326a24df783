"""Rate limits."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rate_limit import NONE, Allowance, RateLimit

MICROSECOND = timedelta(microseconds=1)

limits = st.builds(
    RateLimit,
    st.just("login"),
    st.integers(1, 40),
    st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=7)),
)
pauses = st.lists(st.floats(0, 2), min_size=1, max_size=150)
"""The pauses between attempts, in intervals of the limit."""


def attempts(limit: RateLimit, pauses: list[float]) -> list[tuple[timedelta, Allowance]]:
    """Return the times and the allowances of attempts after these pauses."""
    now, debt, outcomes = NONE, NONE, []
    for pause in pauses:
        now, debt = now + pause * limit.interval, max(debt - pause * limit.interval, NONE)
        outcomes.append((now, limit.take(debt)))
        debt = outcomes[-1][1].debt
    return outcomes


@given(limit=limits)
def test_a_whole_quota_can_be_taken_at_once(limit: RateLimit) -> None:
    """At one moment exactly the quota is admitted, and the remaining number decreases to zero."""
    outcomes = [allowance for _, allowance in attempts(limit, [0.0] * (limit.quota + 2))]

    assert [allowance.admitted for allowance in outcomes] == [True] * limit.quota + [False] * 2
    assert [allowance.remaining for allowance in outcomes] == [*reversed(range(limit.quota)), 0, 0]


@given(limit=limits)
def test_one_attempt_is_restored_after_an_interval(limit: RateLimit) -> None:
    """A client that waits for the given time is admitted, and not a microsecond earlier."""
    used_up = attempts(limit, [0.0] * limit.quota)[-1][1]
    early = limit.take(used_up.debt - used_up.wait + MICROSECOND)

    assert used_up.wait == limit.interval
    assert limit.take(used_up.debt - used_up.wait).admitted
    assert (early.admitted, early.wait) == (False, MICROSECOND)


@given(limit=limits)
def test_the_whole_quota_is_restored_after_a_window(limit: RateLimit) -> None:
    """After one window the whole quota is available again."""
    assert attempts(limit, [0.0] * limit.quota)[-1][1].debt <= limit.window


@given(limit=limits, pauses=pauses)
def test_no_period_admits_more_than_the_quota_and_what_was_restored(limit: RateLimit, pauses: list[float]) -> None:
    """In any period, at most the quota and one attempt for each interval are admitted."""
    admitted = [now for now, allowance in attempts(limit, pauses) if allowance.admitted]

    assert admitted
    for first, begin in enumerate(admitted):
        for count, end in enumerate(admitted[first:], start=1):
            assert count <= limit.quota + (end - begin + len(pauses) * MICROSECOND) // limit.interval


@given(limit=limits, pauses=pauses)
def test_a_refusal_does_not_change_the_debt(limit: RateLimit, pauses: list[float]) -> None:
    """Refused attempts do not change later attempts."""
    for _, allowance in attempts(limit, pauses):
        again = limit.take(allowance.debt)

        assert again.admitted == (allowance.remaining > 0)
        assert again.admitted or again == Allowance(limit, False, allowance.debt)
        assert (allowance.wait > NONE) == (allowance.remaining == 0)


@pytest.mark.parametrize("quota", [7, 9_999, 9_999_999])
def test_a_quota_that_does_not_divide_its_window_is_exact(quota: int) -> None:
    """A rest of microseconds in the division of the window does not change the quota."""
    limit = RateLimit("login", quota, timedelta(seconds=1))

    assert limit.take(limit.capacity - limit.interval).admitted
    assert not limit.take(limit.capacity).admitted
    assert limit.take(NONE).remaining == quota - 1
