"""The rules of access tokens of both kinds."""

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
    """A token of stable_token."""
    return str(wechat.tokens.stable(appid, SECRET, "client_credential", force=force)["access_token"])


def legacy(wechat: WeChat) -> str:
    """A token of /cgi-bin/token."""
    return str(wechat.tokens.legacy(APPID, SECRET, "client_credential")["access_token"])


def errcode_of(wechat: WeChat, token: str) -> int:
    """The errcode that a token is refused with; 0 when it is good."""
    try:
        assert wechat.tokens.appid_of(token) == APPID
    except WeChatError as refused:
        return refused.errcode
    return 0


def test_a_stable_token_stays_with_the_time_it_has_left(wechat: WeChat, clock: Clock) -> None:
    """Repeated calls give the same token, and fewer seconds."""
    first = wechat.tokens.stable(APPID, SECRET, "client_credential", force=False)
    clock.advance(6899)
    second = wechat.tokens.stable(APPID, SECRET, "client_credential", force=False)

    assert first["expires_in"] == 7200
    assert second == first | {"expires_in": 301}


def test_a_stable_token_is_renewed_in_its_last_five_minutes(wechat: WeChat, clock: Clock) -> None:
    """Old and new are both good until the old one's time is over."""
    old = stable(wechat)
    clock.advance(6900)
    new = stable(wechat)

    assert new != old
    assert [errcode_of(wechat, token) for token in (old, new)] == [0, 0]
    clock.advance(300)
    assert [errcode_of(wechat, token) for token in (old, new)] == [42001, 0]


def test_a_token_that_nobody_renews_expires(wechat: WeChat, clock: Clock) -> None:
    """A token is good for just under 7200 seconds."""
    token = stable(wechat)
    clock.advance(7199.9)

    assert errcode_of(wechat, token) == 0
    clock.advance(0.1)
    assert errcode_of(wechat, token) == 42001


def test_force_kills_the_tokens_before_at_once(wechat: WeChat, clock: Clock) -> None:
    """Neither the token before nor the one before that survives a forced refresh."""
    oldest = stable(wechat)
    clock.advance(6900)
    old = stable(wechat)
    new = stable(wechat, force=True)

    assert [errcode_of(wechat, token) for token in (oldest, old, new)] == [40001, 40001, 0]
    assert stable(wechat) == new


@pytest.mark.parametrize(("seconds", "same"), [(29.9, True), (30, False)])
def test_forcing_needs_thirty_seconds_between(wechat: WeChat, clock: Clock, seconds: float, same: bool) -> None:
    """A forced refresh less than 30 seconds after another one refreshes nothing."""
    first = stable(wechat, force=True)
    clock.advance(seconds)

    assert (stable(wechat, force=True) == first) is same


def test_forcing_is_for_twenty_times_a_day(wechat: WeChat, clock: Clock) -> None:
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


def test_every_call_of_the_older_kind_gives_a_new_token(wechat: WeChat, clock: Clock) -> None:
    """The token before is good for five minutes more, and then not the latest one."""
    old, new = legacy(wechat), legacy(wechat)
    clock.advance(299.9)

    assert [errcode_of(wechat, token) for token in (old, new)] == [0, 0]
    clock.advance(0.1)
    assert [errcode_of(wechat, token) for token in (old, new)] == [40001, 0]


def test_the_two_kinds_are_independent(wechat: WeChat, clock: Clock) -> None:
    """Neither kind ends a token of the other."""
    first = legacy(wechat)
    tokens = [stable(wechat, force=True), legacy(wechat)]
    clock.advance(300)

    assert [errcode_of(wechat, token) for token in tokens] == [0, 0]
    assert errcode_of(wechat, first) == 40001


def test_a_token_is_of_its_app(wechat: WeChat) -> None:
    """The token says which app calls, and forcing one app's leaves another's alone."""
    other = stable(wechat, appid="wxother")
    stable(wechat, force=True)

    assert wechat.tokens.appid_of(other) == "wxother"


@pytest.mark.parametrize(
    ("token", "errcode"),
    [("", 41001), ("made_up", 40001), ("76_" + "x" * 130, 40001), ("x" * 513, 40014), ("a b", 40014), ("é", 40014)],
)
def test_missing_unknown_and_malformed_tokens_have_their_errcodes(wechat: WeChat, token: str, errcode: int) -> None:
    """A missing token is 41001, one that could be a token 40001, and one that could not 40014."""
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
def test_the_first_wrong_parameter_is_named(
    clock: Clock, kind: Callable[..., object], appid: str, secret: str, grant_type: str, errcode: int
) -> None:
    """Both kinds look at the parameters in the same order, an unknown appid first."""
    tokens = WeChat(clock, {APPID: SECRET}).tokens

    with pytest.raises(WeChatError) as refused:
        kind(tokens, appid, secret, grant_type)

    assert refused.value.errcode == errcode


def test_the_older_kind_is_for_2000_times_a_day(wechat: WeChat) -> None:
    """One call more is 45009."""
    for _ in range(2000):
        legacy(wechat)

    with pytest.raises(WeChatError) as refused:
        legacy(wechat)

    assert refused.value.errcode == 45009


def test_stable_tokens_are_for_10000_times_a_minute(wechat: WeChat, clock: Clock) -> None:
    """One call more is 45011, and the next minute is a new one."""
    for _ in range(10_000):
        stable(wechat)

    with pytest.raises(WeChatError) as refused:
        stable(wechat)

    assert refused.value.errcode == 45011
    clock.advance(60)
    assert stable(wechat)
