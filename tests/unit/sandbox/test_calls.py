"""The list of calls, and its masked values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat_sandbox.calls import CHARACTERS_SHOWN, FIELDS_SHOWN, SHOWN, Call, Calls, mask
from wechat_sandbox.requests import Request


def test_the_last_thousand_calls_are_listed_newest_last() -> None:
    """Only the last thousand calls are listed, and all calls are counted."""
    calls = Calls()
    for number in range(1500):
        calls.add(Call(0, "GET", f"/{number}", {}))

    assert [call["path"] for call in calls.shown()] == [f"/{number}" for number in range(500, 1500)]
    assert calls.total == 1500


def test_a_call_without_an_answer_has_no_outcome() -> None:
    """A call without an answer has a null status and no errcode."""
    call = Call.of(Request("GET", "/sns/jscode2session", {"appid": "wx1", "js_code": ""}), 0)
    before = call.shown()
    call.status, call.errcode = 200, 41004

    assert before == {
        "at": "1970-01-01T00:00:00.000Z",
        "method": "GET",
        "path": "/sns/jscode2session",
        "query": {"appid": "wx1", "js_code": ""},
        "status": None,
    }
    assert call.shown() == before | {"status": 200, "errcode": 41004}


def test_secrets_are_masked() -> None:
    """Neither the list of calls nor the repr of a call shows a secret, a code or a token."""
    secrets = {"secret": "0123456789abcdef", "js_code": "too-short", "access_token": "76_abcdefghijklmno"}
    call = Call.of(Request("GET", "/", secrets), 0)

    assert call.shown()["query"] == {"secret": "0123***", "js_code": "***", "access_token": "76_a***"}
    assert "abcdef" not in repr(call)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"code":"e31968a7f94cc5ee","openid":"o-alice"}', {"code": "e319***", "openid": "o-alice"}),
        (b'{"force_refresh":true,"phone":13800138000,"x":null}', {"force_refresh": True, "phone": "***", "x": None}),
        (b'{"openid":{"secret":"0123456789abcdef"},"x":["y"]}', {"openid": "***", "x": "***"}),
        (b"secret=0123456789abcdef", "23 bytes that are no JSON object"),
        (b"", None),
    ],
)
def test_bodies_are_shown_masked(body: bytes, shown: object) -> None:
    """A JSON object is listed with masked values and without nested values.

    For any other body only the size is listed.
    """
    assert Call.of(Request("POST", "/", body=body), 0).shown().get("body") == shown


@given(st.text(), st.text(min_size=16))
def test_an_unknown_parameter_is_masked(name: str, value: str) -> None:
    """Only parameters that are known to be public are listed unmasked."""
    (shown,) = Call.of(Request("GET", "/", {name: value}), 0).query.values()

    assert shown == (value[:CHARACTERS_SHOWN] if name in SHOWN else mask(value))


def test_a_call_takes_little_memory() -> None:
    """Only the beginnings of long names and values, and a limited number of parameters, are stored."""
    fields = {f"{number}-{'n' * 1000}": "" for number in range(1000)}
    call = Call.of(Request("GET", "/" * 1000, {"openid": "o" * 1000} | fields), 0)

    assert len(call.query) == FIELDS_SHOWN
    assert len(json.dumps(call.shown())) < 1000


@given(st.text(min_size=1))
def test_a_mask_hides_at_least_twelve_characters_or_all(value: str) -> None:
    """A masked value has at most four characters of the original, and none of a short one."""
    shown = mask(value).removesuffix("***")

    assert value.startswith(shown)
    assert shown == "" or len(value) - len(shown) >= 12
