"""The report of failed logins, and cursors."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RequestInvalid, Unavailable, error_named
from domain.login_failure import LoginFailure
from entrypoints.admin.failures import group
from entrypoints.admin.queries import plus_of, time_of
from entrypoints.container import wechat_errcodes
from entrypoints.cursors import decode_cursor, encode_cursor
from entrypoints.problems import DEFECT, OUTCOMES

MINUTE = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def test_failures_are_grouped_by_code_and_errcode() -> None:
    """Counts of all minutes and apps are added up by code and errcode, the most frequent first."""
    later = MINUTE + timedelta(minutes=5)
    used, invalid, unknown = group(
        {
            LoginFailure(MINUTE, "wx1", "code_used", 40163): 2,
            LoginFailure(later, "wx2", "code_used", 40163): 3,
            LoginFailure(later, "wx1", "code_used", 40163): 1,
            LoginFailure(MINUTE, "wx1", "code_invalid", 40029): 2,
            LoginFailure(MINUTE, None, "app_unknown", None): 1,
        }
    )

    assert (used.code, used.errcode, used.count, used.last, used.apps) == (
        "code_used",
        40163,
        6,
        later,
        {"wx1": 3, "wx2": 3},
    )
    assert (invalid.code, invalid.count) == ("code_invalid", 2)
    assert (unknown.apps, unknown.errcode, unknown.meaning, unknown.hint) == ({}, None, None, None)


@pytest.mark.parametrize("kind", OUTCOMES, ids=lambda kind: kind.code)
def test_every_error_is_explained(kind: type[Exception]) -> None:
    """Every code has the title, the HTTP status and the retry advice of the table of errors."""
    error = next(each for each in OUTCOMES if each is kind)
    (row,) = group({LoginFailure(MINUTE, None, error.code, None): 1})

    assert (row.title, row.status) == (error.title, OUTCOMES[error].http)
    assert row.retry == ("new_code" if issubclass(error, Unavailable) else error.retry)


def test_every_errcode_is_explained() -> None:
    """Every known errcode has its meaning, cause and hint. An unknown one has none."""
    for number, known in wechat_errcodes().items():
        (row,) = group({LoginFailure(MINUTE, None, known.error.code, number): 1})
        assert (row.meaning, row.cause, row.hint) == (known.meaning, known.cause, known.hint)
    (row,) = group({LoginFailure(MINUTE, None, "wechat_unavailable", 99999): 1})

    assert (row.errcode, row.meaning) == (99999, None)
    assert error_named(row.code).title == row.title


def test_a_defect_is_explained() -> None:
    """A defect is in the report as internal_error."""
    (row,) = group({LoginFailure(MINUTE, "wx1", DEFECT.code, None): 1})

    assert (row.title, row.status, row.retry) == (DEFECT.title, 500, "never")


@given(time=st.datetimes(timezones=st.just(UTC)), text=st.text(max_size=40))
def test_a_cursor_is_read_as_it_was_written(time: datetime, text: str) -> None:
    """A position becomes a text that is safe in a query, and the same position again."""
    text = text.encode("utf-8", "ignore").decode()
    cursor = encode_cursor((time, text))

    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(cursor, tuple[datetime, str]) == (time, text)


@given(text=st.text(max_size=40))
def test_any_other_text_is_refused(text: str) -> None:
    """A text that is no cursor raises RequestInvalid."""
    with pytest.raises(RequestInvalid):
        decode_cursor(text, tuple[datetime, str])


def test_a_plus_sign_survives_a_query() -> None:
    """A leading blank is the plus sign that a query string turned into it, of a phone number and of an offset."""
    assert (plus_of(" 8613800000000"), plus_of("+86"), plus_of(""), plus_of(None)) == (
        "+8613800000000",
        "+86",
        "",
        None,
    )
    assert time_of("2026-11-29T16:00:00 08:00") == MINUTE
