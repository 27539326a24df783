"""What is remembered of the calls, and what is shown."""

from hypothesis import given
from hypothesis import strategies as st

from entrypoints.sandbox.calls import Call, Calls, mask


def test_the_last_thousand_calls_newest_last() -> None:
    """Older calls give way to newer ones."""
    calls = Calls()
    for number in range(1500):
        calls.add(Call(0, "GET", f"/{number}", ""))

    assert [call["path"] for call in calls.shown()] == [f"/{number}" for number in range(500, 1500)]


def test_a_call_shows_its_outcome_only_when_there_is_one() -> None:
    """The status is null and the errcode absent until the call is answered."""
    call = Call(0, "GET", "/sns/jscode2session", "appid=wx1&js_code=")
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
    call = Call(0, "GET", "/", "secret=0123456789abcdef&js_code=too-short&access_token=76_abcdefghijklmno")

    assert call.shown()["query"] == {"secret": "0123***", "js_code": "***", "access_token": "76_a***"}
    assert "abcdef" not in repr(call)


@given(st.text(min_size=1))
def test_a_mask_hides_at_least_twelve_characters_or_all(value: str) -> None:
    """A masked value shows four characters at most, and none of a short one."""
    shown = mask(value).removesuffix("***")

    assert value.startswith(shown)
    assert shown == "" or len(value) - len(shown) >= 12
