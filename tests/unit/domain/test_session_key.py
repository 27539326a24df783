"""The session_key of WeChat for one account."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.session_key import EncryptKey, KeyRing, SessionKey

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
FIVE_MINUTES = timedelta(minutes=5)

KEY, OTHER = SessionKey("HyVFkGl5F5OQWJZZaNzBBg=="), SessionKey("o0q0otL8aEzpcZL/FT9WsQ==")
RAW_DATA = (
    '{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN",'
    '"avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtp'
    'ujxyzYsrztuuICqIM5ibXQ/0"}'
)
"""rawData and session_key of WeChat's own example, in the order that its page joins them."""


def wechats_signature(raw_data: str, key: SessionKey) -> str:
    """Return sha1(rawData + session_key), the signature on WeChat's page."""
    return hashlib.sha1(f"{raw_data}{key.value}".encode()).hexdigest()  # noqa: S324  # WeChat's choice


def test_wechats_own_example_is_signed() -> None:
    """The signature of the example on WeChat's page equals the printed one."""
    assert KEY.has_signed(RAW_DATA, "75e81ceda165f4ffa64f4068af58c64b8f54b88c")


@pytest.mark.parametrize(
    "raw_data", ["", "{}", '{"nickName":"李雷 👩"}', "a" * 100_000], ids=lambda text: ascii(text[:9])
)
def test_a_signature_of_wechat_is_valid(raw_data: str) -> None:
    """The signature is the hex SHA-1 of the data and the key's text in UTF-8, for data of any length and script."""
    assert KEY.has_signed(raw_data, wechats_signature(raw_data, KEY))


GOOD = wechats_signature(RAW_DATA, KEY)


@pytest.mark.parametrize(
    ("raw_data", "signature"),
    [
        pytest.param(RAW_DATA, "", id="no signature"),
        pytest.param(RAW_DATA, GOOD[:-1], id="a part of it"),
        pytest.param(RAW_DATA, f"{GOOD}0", id="more than it"),
        pytest.param(RAW_DATA, f"{GOOD}\n", id="a newline more"),
        pytest.param(RAW_DATA, wechats_signature(RAW_DATA, OTHER), id="another key's"),
        pytest.param(RAW_DATA, wechats_signature("", KEY), id="other data's"),
        pytest.param(RAW_DATA + " ", GOOD, id="a space more in the data"),
        pytest.param("", GOOD, id="no data"),
        pytest.param(RAW_DATA, "签名", id="no hex at all"),
    ],
)
def test_anything_else_is_not_signed(raw_data: str, signature: str) -> None:
    """Another signature, or a signature of other data, is not valid."""
    assert not KEY.has_signed(raw_data, signature)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=50)
def test_a_made_up_signature_is_invalid(signature: str) -> None:
    """Any text as a signature is invalid, and causes no error."""
    assert not KEY.has_signed(RAW_DATA, signature)


def test_fingerprints_of_keys_differ_and_do_not_show_the_key() -> None:
    """A fingerprint is 16 hex digits of the key's SHA-256, and different for different keys."""
    fingerprints = {SessionKey(f"key {number}").fingerprint for number in range(100)}

    assert KEY.fingerprint == SessionKey(KEY.value).fingerprint == hashlib.sha256(KEY.value.encode()).hexdigest()[:16]
    assert len(fingerprints) == 100
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in fingerprints)


@pytest.mark.parametrize(
    ("passed", "names"),
    [
        (timedelta(), ["current", "previous"]),
        (FIVE_MINUTES - MOMENT, ["current", "previous"]),
        (FIVE_MINUTES, ["current"]),
        (timedelta(days=1), ["current"]),
    ],
    ids=str,
)
def test_the_previous_key_is_tried_for_five_minutes(passed: timedelta, names: list[str]) -> None:
    """The current key is always tried first, and the previous key for five minutes after its replacement."""
    usable = list(KeyRing(KEY, OTHER, NOW).usable(NOW + passed))

    assert usable == [("current", KEY), ("previous", OTHER)][: len(names)]
    assert [name for name, _ in usable] == names


def test_a_first_key_is_tried_alone() -> None:
    """An account with one key, or with a previous key of unknown age, has only the current key to try."""
    assert list(KeyRing(KEY).usable(NOW)) == [("current", KEY)]
    assert list(KeyRing(KEY, OTHER).usable(NOW)) == [("current", KEY)]


def test_no_key_is_shown() -> None:
    """The repr of keys contains neither a session_key nor a key for the user's own data."""
    encrypt_key = EncryptKey(1, "0secret", "0iv", NOW, NOW)
    ring = KeyRing(KEY, OTHER, NOW)

    assert not [secret for secret in (KEY.value, OTHER.value) if secret in f"{ring!r} {ring!s} {KEY!r}"]
    assert "0secret" not in repr(encrypt_key)
    assert "0iv" not in repr(encrypt_key)
