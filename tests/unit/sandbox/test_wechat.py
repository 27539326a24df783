"""WeChat's rules for codes, apps and accounts."""

import re
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat_sandbox.accounts import ACCOUNTS_REMEMBERED, openid_of
from wechat_sandbox.clock import Clock
from wechat_sandbox.codes import CODES_REMEMBERED, Codes, new_login_code
from wechat_sandbox.errors import ControlRefused, WeChatError
from wechat_sandbox.wechat import WeChat

APPID = "wx0123456789abcdef"
SECRET = "0123456789abcdef0123456789ABCDEF"


def exchange(wechat: WeChat, code: str, *, appid: str = APPID, secret: str = SECRET) -> dict[str, Any]:
    """Exchange a code as a server does."""
    return wechat.code2session(appid, secret, code, "authorization_code")


def errcode_of(wechat: WeChat, code: str, *, appid: str = APPID, secret: str = SECRET) -> int:
    """Return the errcode with which WeChat refuses an exchange."""
    with pytest.raises(WeChatError) as refused:
        exchange(wechat, code, appid=appid, secret=secret)
    return refused.value.errcode


def test_a_code_gives_its_users_openid_and_a_session_key_of_16_bytes(wechat: WeChat) -> None:
    """A code without a unionid returns only an openid and a session_key."""
    issued = wechat.issue_code(APPID)

    session = exchange(wechat, issued.code)

    assert session.keys() == {"session_key", "openid"}
    assert session["openid"] == issued.openid
    assert len(b64decode(session["session_key"], validate=True)) == 16


def test_a_code_works_once(wechat: WeChat) -> None:
    """The second use of a code is 40163."""
    code = wechat.issue_code(APPID).code
    exchange(wechat, code)

    assert errcode_of(wechat, code) == 40163


@pytest.mark.parametrize(("age", "errcode"), [(300, 40029), (899, 40029), (900, 40029), (1e6, 40029)])
def test_a_code_expires_after_five_minutes(wechat: WeChat, clock: Clock, age: float, errcode: int) -> None:
    """An unused code is 40029 after 300 seconds, at any age."""
    code = wechat.issue_code(APPID).code
    clock.advance(age)

    assert errcode_of(wechat, code) == errcode


def test_a_code_is_valid_for_five_minutes(wechat: WeChat, clock: Clock) -> None:
    """A code works until just before 300 seconds."""
    issued = wechat.issue_code(APPID)
    clock.advance(299.9)

    assert exchange(wechat, issued.code)["openid"] == issued.openid


@pytest.mark.parametrize(("age", "errcode"), [(899, 40163), (900, 40029)])
def test_a_used_code_is_deleted_after_900_seconds(wechat: WeChat, clock: Clock, age: float, errcode: int) -> None:
    """A used code is 40163 until 900 seconds after its issue, and then 40029 as an unknown one."""
    code = wechat.issue_code(APPID).code
    exchange(wechat, code)
    clock.advance(age)

    assert errcode_of(wechat, code) == errcode


def test_old_codes_are_deleted(wechat: WeChat, clock: Clock) -> None:
    """Only the codes of the last 900 seconds are stored."""
    for _ in range(100):
        wechat.issue_code(APPID)
        clock.advance(100)

    assert len(wechat._login_codes) == 9


def test_a_code_belongs_to_one_app(wechat: WeChat) -> None:
    """The code of another app is 40029, and still works for its own app."""
    issued = wechat.issue_code(APPID)

    assert errcode_of(wechat, issued.code, appid="wxfedcba9876543210") == 40029
    assert exchange(wechat, issued.code)["openid"] == issued.openid


def test_an_unknown_code_is_invalid(wechat: WeChat) -> None:
    """An unknown code is 40029."""
    assert errcode_of(wechat, new_login_code()) == 40029


@pytest.mark.parametrize(
    ("appid", "secret", "js_code", "grant_type", "errcode"),
    [
        ("", "", "", "", 41002),
        (APPID, "", "", "", 41004),
        (APPID, SECRET, "", "", 41008),
        (APPID, SECRET, "code", "", 40002),
        (APPID, SECRET, "code", "client_credential", 40002),
        (APPID, SECRET[1:], "code", "authorization_code", 40125),
        (APPID, SECRET[1:] + "g", "code", "authorization_code", 40125),
        (APPID, SECRET, "code", "authorization_code", 40029),
    ],
)
def test_the_first_wrong_parameter_decides_the_errcode(
    wechat: WeChat, appid: str, secret: str, js_code: str, grant_type: str, errcode: int
) -> None:
    """The parameters are checked in a fixed order, and the first wrong one decides the errcode."""
    with pytest.raises(WeChatError) as refused:
        wechat.code2session(appid, secret, js_code, grant_type)

    assert refused.value.errcode == errcode


@pytest.mark.parametrize(
    ("appid", "secret", "errcode"),
    [(APPID, SECRET, 40125), ("wxother", "exactly this", 40013), (APPID, "exactly this", 40029)],
)
def test_only_given_apps_are_known(clock: Clock, appid: str, secret: str, errcode: int) -> None:
    """With given apps, another appid is 40013 and a wrong secret is 40125."""
    wechat = WeChat(clock, {APPID: "exactly this"})

    assert errcode_of(wechat, "code", appid=appid, secret=secret) == errcode


def test_a_code_for_an_unknown_app_is_refused(clock: Clock) -> None:
    """A code for an appid that is not given is refused, and the error has the given appids."""
    wechat = WeChat(clock, {APPID: SECRET})

    with pytest.raises(ControlRefused, match=APPID):
        wechat.issue_code("wxother")


def test_a_new_code_rotates_the_session_key(wechat: WeChat) -> None:
    """Every wx.login() of a user replaces the session_key, whether its code is exchanged or not."""
    first = exchange(wechat, wechat.issue_code(APPID, "o-alice").code)
    wechat.issue_code(APPID, "o-alice")
    key = wechat.accounts.key(APPID, "o-alice")

    assert first["openid"] == "o-alice"
    assert first["session_key"] != key


def test_an_exchange_returns_the_current_session_key(wechat: WeChat) -> None:
    """Two codes of one user return the same session_key, which is that of the last wx.login()."""
    codes = [wechat.issue_code(APPID, "o-alice").code for _ in range(2)]

    keys = {exchange(wechat, code)["session_key"] for code in codes}

    assert keys == {wechat.accounts.key(APPID, "o-alice")}


def test_a_unionid_is_stored(wechat: WeChat) -> None:
    """A unionid that is given once is in every later answer for this user of this app, and not for another app."""
    early = wechat.issue_code(APPID, "o-alice").code
    wechat.issue_code(APPID, "o-alice", "u-alice")
    late = wechat.issue_code(APPID, "o-alice").code
    other = wechat.issue_code("wxother", "o-alice").code

    assert exchange(wechat, early)["unionid"] == "u-alice"
    assert exchange(wechat, late)["unionid"] == "u-alice"
    assert "unionid" not in exchange(wechat, other, appid="wxother")


def test_only_the_last_accounts_are_stored(wechat: WeChat) -> None:
    """When too many accounts are stored, the one that was unused for longest is deleted."""
    for openid in ("o-alice", "o-bob", "o-alice"):
        wechat.issue_code(APPID, openid, f"u-{openid}")
    for number in range(ACCOUNTS_REMEMBERED - 1):
        wechat.accounts.get(APPID, f"o-{number}")

    alice, bob = (exchange(wechat, wechat.issue_code(APPID, openid).code) for openid in ("o-alice", "o-bob"))

    assert alice["unionid"] == "u-o-alice"
    assert "unionid" not in bob


def test_each_code_without_an_openid_has_a_new_user(wechat: WeChat) -> None:
    """Without an openid and a unionid each code belongs to a new user."""
    assert len({wechat.issue_code(APPID).openid for _ in range(100)}) == 100


def test_a_unionid_has_one_openid_in_each_app(wechat: WeChat) -> None:
    """Without an openid, a unionid always has the same user in one app, and another one in another app."""
    here, again = (wechat.issue_code(APPID, unionid="u-alice").openid for _ in range(2))
    there = wechat.issue_code("wxother", unionid="u-alice").openid

    assert here == again
    assert here != there


@given(appid=st.text(), person=st.text())
def test_openids_look_like_wechats(appid: str, person: str) -> None:
    """An openid has an o and 27 URL-safe characters, and is always the same for one person."""
    openid = openid_of(appid, person)

    assert re.fullmatch(r"o[\w-]{27}", openid, re.ASCII)
    assert openid == openid_of(appid, person)


def test_codes_look_like_wechats() -> None:
    """A code has 32 letters and digits, and all codes are different."""
    codes = {new_login_code() for _ in range(1000)}

    assert len(codes) == 1000
    assert all(re.fullmatch(r"[0-9A-Za-z]{32}", code) for code in codes)


def test_only_the_last_codes_are_stored(clock: Clock) -> None:
    """The number of stored codes is limited."""
    codes: Codes[str] = Codes(clock.now, new_login_code)
    first = codes.issue(APPID, "first")
    for _ in range(CODES_REMEMBERED):
        last = codes.issue(APPID, "last")

    assert len(codes) == CODES_REMEMBERED
    assert codes.spend(last, APPID) == "last"
    with pytest.raises(WeChatError):
        codes.spend(first, APPID)
