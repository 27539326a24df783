"""Data that WeChat encrypted for the server, and that a client sends."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.client_data import EncryptedData, check_watermark
from domain.errors import RequestInvalid, WatermarkMismatch
from domain.identity import AppId

APP = AppId("wx0123456789abcdef")
IV, BLOCK = bytes(range(16)), bytes(range(100, 116))
SPECIAL = base64.b64encode(bytes([0xFB, 0xFF] * 8)).decode()
"""Sixteen bytes whose base64 has both + and /."""


def base64_of(data: bytes) -> str:
    """Return the data as base64 text."""
    return base64.b64encode(data).decode()


@given(st.integers(1, 8).flatmap(lambda blocks: st.binary(min_size=16 * blocks, max_size=16 * blocks)))
@settings(max_examples=50)
def test_whole_blocks_are_parsed(ciphertext: bytes) -> None:
    """Base64 of one or more blocks, with an iv of one block, is decoded to its bytes."""
    assert EncryptedData.parse(base64_of(ciphertext), base64_of(IV)) == EncryptedData(ciphertext, IV)


@pytest.mark.parametrize("length", [0, 1, 15, 17, 31, 33])
def test_a_partial_block_is_refused(length: int) -> None:
    """Empty data, or data with a partial block, raises RequestInvalid, which names the field."""
    with pytest.raises(RequestInvalid, match=r"^encryptedData .*blocks"):
        EncryptedData.parse(base64_of(bytes(length)), base64_of(IV))


@pytest.mark.parametrize("length", [0, 1, 15, 17, 32])
def test_an_iv_is_one_block(length: int) -> None:
    """An iv that is not 16 bytes long raises RequestInvalid, which says so."""
    with pytest.raises(RequestInvalid, match=r"^iv must be 16 bytes"):
        EncryptedData.parse(base64_of(BLOCK), base64_of(bytes(length)))


NOT_BASE64 = {
    "spaces in place of +": SPECIAL.replace("+", " "),
    "URL-safe base64": SPECIAL.replace("+", "-").replace("/", "_"),
    "URL-encoded": SPECIAL.replace("+", "%2B"),
    "no padding": base64_of(BLOCK).rstrip("="),
    "a newline": base64_of(BLOCK) + "\n",
    "a newline in the middle": base64_of(BLOCK)[:8] + "\n" + base64_of(BLOCK)[8:],
    "quotes": f'"{base64_of(BLOCK)}"',
    "Chinese": "微信" * 8,
    "a null": "\x00" * 24,
    "padding alone": "====",
    "half a pair": "\ud800" * 24,
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in NOT_BASE64.items()])
@pytest.mark.parametrize("field", ["encryptedData", "iv"])
def test_data_that_is_not_base64_is_refused(field: str, text: str) -> None:
    """Text that is not standard base64 raises RequestInvalid, which names the field and the usual cause."""
    fields = {"encryptedData": base64_of(BLOCK), "iv": base64_of(IV)} | {field: text}

    with pytest.raises(RequestInvalid, match=rf"^{field} is not base64.*'\+'"):
        EncryptedData.parse(fields["encryptedData"], fields["iv"])


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=100)
def test_any_text_is_parsed_or_refused(encrypted_data: str, iv: str) -> None:
    """Any text is parsed or raises RequestInvalid, and causes no other error."""
    try:
        parsed = EncryptedData.parse(encrypted_data, iv)
    except RequestInvalid:
        return

    assert base64_of(parsed.ciphertext) == encrypted_data


def test_neither_the_data_nor_the_iv_is_shown() -> None:
    """The repr of encrypted data contains neither the data nor the iv."""
    parsed = EncryptedData.parse(base64_of(b"0secret 0secret "), base64_of(b"0hidden 0hidden "))

    assert "0secret" not in repr(parsed)
    assert "0hidden" not in repr(parsed)


def test_data_of_the_sessions_app_is_accepted() -> None:
    """Data with this app's watermark is accepted, with any other fields."""
    check_watermark({"watermark": {"appid": APP.value, "timestamp": 1477314187}, "openId": "o1"}, APP)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"watermark": None},
        {"watermark": APP.value},
        {"watermark": [APP.value]},
        {"watermark": {}},
        {"watermark": {"timestamp": 1477314187}},
        {"watermark": {"appid": None}},
        {"watermark": {"appid": "wxfedcba9876543210"}},
        {"watermark": {"appid": APP.value.upper()}},
        {"watermark": {"appid": [APP.value]}},
        {"watermark": {"appId": APP.value}},
        {"appid": APP.value},
    ],
    ids=str,
)
def test_data_without_this_apps_watermark_is_refused(data: dict[str, Any]) -> None:
    """A watermark that is missing or names another app raises WatermarkMismatch, which names the session's app."""
    with pytest.raises(WatermarkMismatch, match=APP.value):
        check_watermark(data, APP)
