"""The table of WeChat's error codes."""

import pytest

from adapters.wechat.errcodes import ERRCODES, AccessTokenRefused, ErrCode, UserBlockedByWeChat, WeChatUnavailable
from adapters.wechat.errors import Meanings, error_of
from domain.errors import (
    AppMisconfigured,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    IdentityProviderUnavailable,
    RateLimited,
)

ROWS = pytest.mark.parametrize("row", ERRCODES.values(), ids=str)


CONTRACT = {
    -1: WeChatUnavailable,
    40013: AppMisconfigured,
    40029: CodeInvalid,
    40125: AppMisconfigured,
    40163: CodeUsed,
    40164: AppMisconfigured,
    40226: UserBlockedByWeChat,
    40243: AppMisconfigured,
    41002: AppMisconfigured,
    41004: AppMisconfigured,
    41008: CodeMissing,
    45009: RateLimited,
    45011: RateLimited,
}
"""Section 4 of the public interface."""

OF_LOGIN = (CodeMissing, CodeInvalid, CodeUsed, UserBlockedByWeChat, RateLimited)
"""Errors that only the codes of the contract may have."""


def test_the_table_has_the_codes_of_the_contract() -> None:
    """Every errcode of the public interface has the error that the interface documents."""
    assert {number: ERRCODES[number].error for number in CONTRACT} == CONTRACT


def test_no_other_code_has_an_error_of_the_contract() -> None:
    """Only the errcodes of the contract have an error for a client's code or a quota."""
    assert {number for number, row in ERRCODES.items() if row.error in OF_LOGIN} <= set(CONTRACT)


def test_only_three_errcodes_mean_a_bad_access_token() -> None:
    """Only 40001, 40014 and 42001 mean that another token may work. For callers they are WeChat being unavailable."""
    refused = {number for number, row in ERRCODES.items() if row.error is AccessTokenRefused}

    assert refused == {40001, 40014, 42001}
    assert issubclass(AccessTokenRefused, IdentityProviderUnavailable)
    assert AccessTokenRefused.code == IdentityProviderUnavailable.code


@ROWS
def test_every_row_has_its_own_number(row: ErrCode) -> None:
    """Each row has the number under which the table has it."""
    assert ERRCODES[row.number] is row


@ROWS
def test_every_row_has_an_explanation(row: ErrCode) -> None:
    """The meaning, the cause and the hint of each row are one printable line without a full stop."""
    for text in (row.meaning, row.cause, row.hint):
        assert text[0].isupper() or text.startswith("wxlogin ")
        assert not text.endswith(".")
        assert text.isprintable()


@ROWS
def test_the_error_has_the_meaning_and_the_hint(row: ErrCode) -> None:
    """The text of the error has the meaning and the hint, and its fields have WeChat's errcode and rid."""
    error = error_of(row.number, "as it says rid: 6374a1b2-0c3d4e5f-12ab34cd")

    assert type(error) is row.error
    assert row.meaning in error.detail
    assert row.hint in error.detail
    assert (error.errcode, error.rid) == (row.number, "6374a1b2-0c3d4e5f-12ab34cd")


@pytest.mark.parametrize("number", [2, 40227, 99999, -2, 2**63])
def test_an_unknown_code_is_unavailable(number: int) -> None:
    """An unknown errcode raises WeChatUnavailable, and its text has the number."""
    error = error_of(number)

    assert type(error) is WeChatUnavailable
    assert isinstance(error, IdentityProviderUnavailable)
    assert str(number) in error.detail
    assert (error.errcode, error.rid) == (number, None)


def test_the_address_for_the_whitelist_is_named() -> None:
    """The error for an address that is not on the whitelist has the address that WeChat saw."""
    errmsg = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist, rid: 6374a1b2-0c3d4e5f-12ab34cd"

    assert "whitelist (203.0.113.7)." in error_of(40164, errmsg).detail


def test_a_call_may_have_its_own_error_for_an_errcode() -> None:
    """A call can give an errcode another error. Other errcodes do not change."""
    here: Meanings = {40013: (CodeInvalid, "the code of another app")}
    meant = error_of(40013, "invalid appid rid: 6374a1b2-0c3d4e5f-12ab34cd", here)

    assert (type(meant), meant.detail) == (CodeInvalid, "the code of another app")
    assert (meant.errcode, meant.rid) == (40013, "6374a1b2-0c3d4e5f-12ab34cd")
    assert type(error_of(40125, "", here)) is AppMisconfigured
