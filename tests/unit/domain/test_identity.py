"""The identity of a user at WeChat."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.errors import AppUnknown, CodeMissing, RequestInvalid, WxLoginError
from domain.identity import AppId, LoginCode, PhoneCode, choose_app
from domain.session_key import SessionKey

VISIBLE_ASCII = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
ANY_TEXT = st.text(max_size=70) | st.text(VISIBLE_ASCII, max_size=70)

HERE, THERE, ELSEWHERE = AppId("wx0000000000000001"), AppId("wx0000000000000002"), AppId("wx0000000000000003")
BOTH = frozenset({HERE, THERE})


def outcome(build: Callable[[str], AppId | LoginCode | PhoneCode], text: str) -> str | type[WxLoginError]:
    """Return the value of the built object, or the type of the error."""
    try:
        return build(text).value
    except WxLoginError as error:
        return type(error)


@given(ANY_TEXT | st.integers(510, 514).map("c".__mul__))
@example("")
@example("0code\n")
@example("0code code")
@example("c" * 512)
@example("c" * 513)
@settings(max_examples=100)
def test_any_text_is_a_code_or_refused(text: str) -> None:
    """One to 512 visible ASCII characters are a code.

    Empty text raises CodeMissing, and other text raises RequestInvalid.
    """
    is_code = 1 <= len(text) <= 512 and all("!" <= character <= "~" for character in text)
    refusal = RequestInvalid if text else CodeMissing

    assert outcome(LoginCode, text) == outcome(PhoneCode, text) == (text if is_code else refusal)


@given(ANY_TEXT)
@example("")
@example("wx0123456789abcdef\n")
@example("wx\N{ARABIC-INDIC DIGIT ONE}")
@example("a" * 64)
@example("a" * 65)
@settings(max_examples=100)
def test_any_text_is_an_appid_or_refused(text: str) -> None:
    """One to 64 ASCII letters, digits, dashes and underscores are an appid. Other text raises RequestInvalid."""
    fits = all(character.isascii() and (character.isalnum() or character in "_-") for character in text)

    assert outcome(AppId, text) == (text if 1 <= len(text) <= 64 and fits else RequestInvalid)


@pytest.mark.parametrize(("kind", "origin"), [(LoginCode, "wx.login"), (PhoneCode, "phone button")])
@pytest.mark.parametrize("text", ["", "no code"])
def test_a_refused_code_says_where_a_valid_one_comes_from(
    kind: type[LoginCode | PhoneCode], origin: str, text: str
) -> None:
    """The error for a missing or malformed code says where a valid code comes from, for each kind of code."""
    with pytest.raises((CodeMissing, RequestInvalid), match=origin):
        kind(text)


def test_an_appid_formats_as_its_text() -> None:
    """An appid formats as its text."""

    assert f"{HERE}" == "wx0000000000000001"


@pytest.mark.parametrize(
    "secret", [LoginCode("0secret"), PhoneCode("0secret"), SessionKey("0secret")], ids=lambda s: type(s).__name__
)
def test_a_secret_is_not_shown(secret: LoginCode | PhoneCode | SessionKey) -> None:
    """Neither the repr nor the str of a code or a session_key contains its value."""

    assert secret.value == "0secret"
    assert "0secret" not in f"{secret!r} {secret!s}"


@pytest.mark.parametrize("kind", [LoginCode, PhoneCode])
def test_a_refused_code_is_not_in_the_error(kind: type[LoginCode | PhoneCode]) -> None:
    """The error for a malformed code does not repeat the text, because it may contain a code."""
    with pytest.raises(RequestInvalid) as refused:
        kind("0secret\n")

    assert "0secret" not in f"{refused.value!r} {refused.value.detail}"


@pytest.mark.parametrize(
    ("configured", "named", "hinted", "chosen"),
    [
        pytest.param(BOTH, HERE.value, THERE.value, HERE, id="the named one beats the hint"),
        pytest.param(BOTH, None, THERE.value, THERE, id="else the hinted one"),
        pytest.param(frozenset({HERE}), None, None, HERE, id="else the only one"),
        pytest.param(frozenset({HERE}), None, ELSEWHERE.value, HERE, id="a hint at an unknown app is no hint"),
    ],
)
def test_the_app_of_a_login(configured: frozenset[AppId], named: str, hinted: str, chosen: AppId) -> None:
    """The app of a login is the named app, else the hinted app if it is configured, else the only app."""

    assert choose_app(configured, named, hinted) == chosen


@pytest.mark.parametrize(
    ("configured", "named", "hinted"),
    [
        pytest.param(BOTH, None, None, id="several, none named"),
        pytest.param(BOTH, None, ELSEWHERE.value, id="several, an unknown hint"),
        pytest.param(BOTH, ELSEWHERE.value, HERE.value, id="an unknown name, whatever the hint"),
        pytest.param(frozenset({HERE}), ELSEWHERE.value, None, id="an unknown name, though there is only one"),
        pytest.param(frozenset({HERE}), "", None, id="an empty name is a name"),
        pytest.param(frozenset({HERE}), "not an appid", None, id="a name that no app can have"),
        pytest.param(frozenset(), None, None, id="no app at all"),
    ],
)
def test_a_login_without_a_known_app_is_app_unknown(
    configured: frozenset[AppId], named: str | None, hinted: str | None
) -> None:
    """A login that names an unknown app, or names no app when there are several, raises AppUnknown."""
    with pytest.raises(AppUnknown):
        choose_app(configured, named, hinted)
