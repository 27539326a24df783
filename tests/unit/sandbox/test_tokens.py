"""The rules of both kinds of access tokens."""

from collections.abc import Callable
from functools import partial

import pytest

from wechat_sandbox.clock import Clock
from wechat_sandbox.errors import WeChatError
from wechat_sandbox.tokens import AccessTokens
from wechat_sandbox.wechat import WeChat

APPID = "wx0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef"


def stable(wechat: WeChat, *, force: bool = False, appid: str = APPID) -> str:
    """Return a token of stable_token."""
    return str(wechat.tokens.stable(appid, SECRET, "client_credential", force=force)["access_token"])


def legacy(wechat: WeChat) -> str:
    """Return a token of /cgi-bin/token."""
    return str(wechat.tokens.legacy(APPID, SECRET, "client_credential")["access_token"])


def errcode_of(wechat: WeChat, token: str) -> int:
    """Return the errcode with which a token is refused, or 0 when it is valid."""
    try:
        assert wechat.tokens.appid_of(token) == APPID
    except WeChatError as refused:
        return refused.errcode
    return 0


def test_a_stable_token_has_its_remaining_time(wechat: WeChat, clock: Clock) -> None:
    """Repeated calls return the same token with the remaining seconds."""
    first = wechat.tokens.stable(APPID, SECRET, "client_credential", force=False)
    clock.advance(6899)
    second = wechat.tokens.stable(APPID, SECRET, "client_credential", force=False)

    assert first["expires_in"] == 7200
    assert second == first | {"expires_in": 301}


def test_a_stable_token_is_renewed_in_its_last_five_minutes(wechat: WeChat, clock: Clock) -> None:
    """In its last five minutes a stable token is renewed, and the old token is valid until it expires."""
    old = stable(wechat)
    clock.advance(6900)
    new = stable(wechat)

    assert new != old
    assert [errcode_of(wechat, token) for token in (old, new)] == [0, 0]
    clock.advance(300)
    assert [errcode_of(wechat, token) for token in (old, new)] == [42001, 0]


def test_a_token_expires_after_two_hours(wechat: WeChat, clock: Clock) -> None:
    """A token is valid for just under 7200 seconds."""
    token = stable(wechat)
    clock.advance(7199.9)

    assert errcode_of(wechat, token) == 0
    clock.advance(0.1)
    assert errcode_of(wechat, token) == 42001


def test_a_forced_refresh_ends_earlier_tokens_at_once(wechat: WeChat, clock: Clock) -> None:
    """A forced refresh makes all earlier tokens invalid at once."""
    oldest = stable(wechat)
    clock.advance(6900)
    old = stable(wechat)
    new = stable(wechat, force=True)

    assert [errcode_of(wechat, token) for token in (oldest, old, new)] == [40001, 40001, 0]
    assert stable(wechat) == new


@pytest.mark.parametrize(("seconds", "same"), [(29.9, True), (30, False)])
def test_forced_refreshes_need_an_interval_of_thirty_seconds(
    wechat: WeChat, clock: Clock, seconds: float, same: bool
) -> None:
    """A forced refresh less than 30 seconds after another one returns the same token."""
    first = stable(wechat, force=True)
    clock.advance(seconds)

    assert (stable(wechat, force=True) == first) is same


def test_forced_refreshes_are_limited_to_twenty_a_day(wechat: WeChat, clock: Clock) -> None:
    """The 21st forced refresh of a day in Beijing is 45009, and changes nothing."""
    for _ in range(20):
        token = stable(wechat, force=True)
        clock.advance(30)

    with pytest.raises(WeChatError) as refused:
        stable(wechat, force=True)

    assert refused.value.errcode == 45009
    assert stable(wechat) == token
    clock.advance(8 * 3600)  # past midnight in Beijing
    assert stable(wechat, force=True) != token


def test_every_call_of_the_older_kind_returns_a_new_token(wechat: WeChat, clock: Clock) -> None:
    """Each call of the older kind returns a new token, and the previous one is valid for five more minutes."""
    old, new = legacy(wechat), legacy(wechat)
    clock.advance(299.9)

    assert [errcode_of(wechat, token) for token in (old, new)] == [0, 0]
    clock.advance(0.1)
    assert [errcode_of(wechat, token) for token in (old, new)] == [40001, 0]


def test_the_two_kinds_are_independent(wechat: WeChat, clock: Clock) -> None:
    """Neither kind of token ends a token of the other kind."""
    first = legacy(wechat)
    tokens = [stable(wechat, force=True), legacy(wechat)]
    clock.advance(300)

    assert [errcode_of(wechat, token) for token in tokens] == [0, 0]
    assert errcode_of(wechat, first) == 40001


def test_a_token_belongs_to_its_app(wechat: WeChat) -> None:
    """A token belongs to one app, and a forced refresh of one app does not affect another."""
    other = stable(wechat, appid="wxother")
    stable(wechat, force=True)

    assert wechat.tokens.appid_of(other) == "wxother"


@pytest.mark.parametrize(
    ("token", "errcode"),
    [("", 41001), ("made_up", 40001), ("76_" + "x" * 130, 40001), ("x" * 513, 40014), ("a b", 40014), ("é", 40014)],
)
def test_missing_unknown_and_malformed_tokens_have_their_errcodes(wechat: WeChat, token: str, errcode: int) -> None:
    """A missing token is 41001, an unknown token is 40001, and a malformed token is 40014."""
    assert errcode_of(wechat, token) == errcode


@pytest.mark.parametrize(
    ("appid", "secret", "grant_type", "errcode"),
    [
        ("", "", "", 41002),
        ("wxother", "", "", 40013),
        (APPID, "", "", 40002),
        (APPID, "", "authorization_code", 40002),
        (APPID, "", "client_credential", 41004),
        (APPID, "wrong", "client_credential", 40125),
    ],
)
@pytest.mark.parametrize("kind", [AccessTokens.legacy, partial(AccessTokens.stable, force=False)])
def test_the_first_wrong_parameter_decides_the_errcode(
    clock: Clock, kind: Callable[..., object], appid: str, secret: str, grant_type: str, errcode: int
) -> None:
    """Both kinds check the parameters in the same order, an unknown appid first."""
    tokens = WeChat(clock, {APPID: SECRET}).tokens

    with pytest.raises(WeChatError) as refused:
        kind(tokens, appid, secret, grant_type)

    assert refused.value.errcode == errcode


def test_the_older_kind_is_limited_to_2000_a_day(wechat: WeChat) -> None:
    """The 2001st call of the older kind in a day is 45009."""
    for _ in range(2000):
        legacy(wechat)

    with pytest.raises(WeChatError) as refused:
        legacy(wechat)

    assert refused.value.errcode == 45009


def test_stable_tokens_are_limited_to_10000_a_minute(wechat: WeChat, clock: Clock) -> None:
    """The 10,001st call in a minute is 45011, and calls succeed in the next minute."""
    for _ in range(10_000):
        stable(wechat)

    with pytest.raises(WeChatError) as refused:
        stable(wechat)

    assert refused.value.errcode == 45011
    clock.advance(60)
    assert stable(wechat)
