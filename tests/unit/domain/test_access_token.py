"""The access token of an app."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.access_token import AccessToken, AccessTokenState, Refusal

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
WECHATS_OVERLAP = timedelta(minutes=5)


def ending_in(left: timedelta) -> AccessToken:
    """Return a token with the given time left."""
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
def test_a_token_is_not_live_at_its_expiry(left: timedelta, is_live: bool) -> None:
    """A token is live before its expiry, and not at its expiry or later."""
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
    """A token is due from four minutes before its expiry. WeChat then has had a new token for one minute."""
    assert ending_in(left).is_due(NOW) is is_due


def test_a_token_is_live_when_it_becomes_due() -> None:
    """A token that becomes due is still live, so there is time to renew it."""
    token = ending_in(timedelta(minutes=4))

    assert token.is_due(NOW)
    assert token.is_live(NOW + timedelta(minutes=3))


def test_a_token_is_not_shown() -> None:
    """Neither the repr nor the str of a token or its state contains the token's value."""
    state = AccessTokenState(ending_in(timedelta(hours=2)), Refusal("rate_limited", "slower", NOW))

    assert state.token
    assert "0secret" not in f"{state!r} {state!s} {state.token!r} {state.token!s}"


def test_an_empty_store_has_an_empty_state() -> None:
    """An empty state has neither a token nor a refusal."""
    assert AccessTokenState() == AccessTokenState(token=None, refusal=None)
