"""What is remembered of the calls, and what is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat_sandbox.calls import CHARACTERS_SHOWN, FIELDS_SHOWN, SHOWN, Call, Calls, mask
from wechat_sandbox.requests import Request


def test_the_last_thousand_calls_newest_last() -> None:
    """Older calls give way to newer ones, and are counted all the same."""
    calls = Calls()
    for number in range(1500):
        calls.add(Call(0, "GET", f"/{number}", {}))

    assert [call["path"] for call in calls.shown()] == [f"/{number}" for number in range(500, 1500)]
    assert calls.total == 1500


def test_a_call_shows_its_outcome_only_when_there_is_one() -> None:
    """The status is null and the errcode absent until the call is answered."""
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
    """No secret, code or token can be read from a call, and neither from its repr."""
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
    """A JSON object is shown as the query is, with nothing nested in it, and of anything else the size."""
    assert Call.of(Request("POST", "/", body=body), 0).shown().get("body") == shown


@given(st.text(), st.text(min_size=16))
def test_a_parameter_that_nobody_knows_is_a_secret(name: str, value: str) -> None:
    """Only parameters that are known to be no secret are shown in clear."""
    (shown,) = Call.of(Request("GET", "/", {name: value}), 0).query.values()

    assert shown == (value[:CHARACTERS_SHOWN] if name in SHOWN else mask(value))


def test_a_call_takes_little_memory() -> None:
    """Of a call with a great many parameters, long names and long values, the beginnings are kept."""
    fields = {f"{number}-{'n' * 1000}": "" for number in range(1000)}
    call = Call.of(Request("GET", "/" * 1000, {"openid": "o" * 1000} | fields), 0)

    assert len(call.query) == FIELDS_SHOWN
    assert len(json.dumps(call.shown())) < 1000


@given(st.text(min_size=1))
def test_a_mask_hides_at_least_twelve_characters_or_all(value: str) -> None:
    """A masked value shows four characters at most, and none of a short one."""
    shown = mask(value).removesuffix("***")

    assert value.startswith(shown)
    assert shown == "" or len(value) - len(shown) >= 12
