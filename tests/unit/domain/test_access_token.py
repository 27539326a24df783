"""What lets an app call WeChat."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.access_token import AccessToken, AccessTokenState, Refusal

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
WECHATS_OVERLAP = timedelta(minutes=5)


def ending_in(left: timedelta) -> AccessToken:
    """A token with so much left of it."""
    return AccessToken("0secret", NOW + left)


@pytest.mark.parametrize(
    ("left", "is_live"),
    [
        (timedelta(hours=2), True),
        (MOMENT, True),
        (timedelta(), False),
        (-timedelta(days=1), False),
    ],
    ids=str,
)
def test_a_token_is_not_used_from_its_end_on(left: timedelta, is_live: bool) -> None:
    """A token is live until its end, and not from then on."""
    assert ending_in(left).is_live(NOW) is is_live


@pytest.mark.parametrize(
    ("left", "is_due"),
    [
        (timedelta(hours=2), False),
        (WECHATS_OVERLAP, False),
        (timedelta(minutes=4) + MOMENT, False),
        (timedelta(minutes=4), True),
        (timedelta(), True),
        (-timedelta(days=1), True),
    ],
    ids=str,
)
def test_a_token_is_due_in_its_last_four_minutes(left: timedelta, is_due: bool) -> None:
    """A token is due from four minutes before its end, when WeChat has given a new one for a minute."""
    assert ending_in(left).is_due(NOW) is is_due


def test_a_token_is_live_when_it_gets_due() -> None:
    """Between the two there is time to renew a token while it still serves."""
    token = ending_in(timedelta(minutes=4))

    assert token.is_due(NOW)
    assert token.is_live(NOW + timedelta(minutes=3))


def test_a_token_is_not_shown() -> None:
    """Neither the repr nor the str of a token, or of what is known of one, has its value."""
    state = AccessTokenState(ending_in(timedelta(hours=2)), Refusal("rate_limited", "slower", NOW))

    assert state.token
    assert "0secret" not in f"{state!r} {state!s} {state.token!r} {state.token!s}"


def test_an_empty_store_has_an_empty_state() -> None:
    """Without a word from anybody there is neither a token nor a refusal."""
    assert AccessTokenState() == AccessTokenState(token=None, refusal=None)
