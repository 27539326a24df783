"""/v1/me: the profile of the user."""

from typing import Any

import pytest

from support.devices import RFC_3339_UTC, Device, LogIn, problem_of, time_of
from support.processes import APPID, Sandbox, Service

ME_FIELDS = {
    "id",
    "name",
    "avatar",
    "language",
    "province",
    "city",
    "country",
    "phone",
    "created_at",
    "updated_at",
    "accounts",
    "unionid",
}
PROFILE_LIMITS = {"name": 64, "avatar": 1024, "language": 32, "province": 64, "city": 64, "country": 64}


def test_a_new_user_has_an_empty_profile(log_in: LogIn, user: str) -> None:
    """GET /v1/me has exactly the documented fields, and for a new user the profile is empty."""
    device = log_in(user)
    profile = device.send("GET", "/v1/me").json()

    assert set(profile) == ME_FIELDS
    assert profile["id"] == device.login["user"]["id"]
    assert {profile[name] for name in PROFILE_LIMITS} == {""}
    assert (profile["phone"], profile["unionid"]) == (None, None)
    assert profile["accounts"] == [{"appid": APPID, "openid": user}]
    assert RFC_3339_UTC.fullmatch(profile["created_at"])
    assert profile["updated_at"] == profile["created_at"]


def test_a_unionid_is_shown(service: Service, sandbox: Sandbox) -> None:
    """The profile has the unionid from WeChat."""
    device = Device(service, sandbox.code(unionid="union-of-the-profile"))

    assert device.send("GET", "/v1/me").json()["unionid"] == "union-of-the-profile"


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_change_affects_only_the_sent_fields(me: Device, method: str) -> None:
    """PATCH and PUT change the sent fields and no others, and answer with the profile."""
    before = me.send(method, "/v1/me", json={"name": "张三", "city": "深圳"}).json()
    answer = me.send(method, "/v1/me", json={"name": "李四"})

    assert answer.status_code == 200
    assert answer.json() == before | {"name": "李四", "updated_at": answer.json()["updated_at"]}
    assert answer.json() == me.send("GET", "/v1/me").json()
    assert time_of(answer.json()["updated_at"]) > time_of(before["updated_at"])


@pytest.mark.parametrize("field", PROFILE_LIMITS)
def test_every_profile_field_can_be_set_and_emptied(me: Device, field: str) -> None:
    """Each profile field accepts text of its maximum length, and can be cleared."""
    longest = "长" * PROFILE_LIMITS[field]
    filled = me.send("PATCH", "/v1/me", json={field: longest}).json()
    emptied = me.send("PATCH", "/v1/me", json={field: ""}).json()

    assert filled[field] == longest
    assert emptied[field] == ""


@pytest.mark.parametrize("field", PROFILE_LIMITS)
def test_a_profile_field_that_is_too_long_is_refused(me: Device, field: str) -> None:
    """A text with one character too many is 400. The detail names the field, and nothing changes."""
    before = me.send("GET", "/v1/me").json()
    answer = me.send("PATCH", "/v1/me", json={field: "x" * (PROFILE_LIMITS[field] + 1)})

    assert problem_of(answer) == (400, "request_invalid", "never")
    assert field in answer.json()["detail"]
    assert me.send("GET", "/v1/me").json() == before


@pytest.mark.parametrize("name", ["😀" * 64, "👨‍👩‍👧‍👦", "é́", "ﷺ", "  ", "null", "<b>&amp;", "'; --", "\\u0041"])
def test_a_name_is_stored_unchanged(log_in: LogIn, name: str) -> None:
    """Emoji, combining characters, blanks and markup in a name are stored as plain text."""
    device = log_in()
    device.send("PATCH", "/v1/me", json={"name": name})

    assert device.send("GET", "/v1/me").json()["name"] == name


def test_a_login_shows_the_profile(log_in: LogIn, user: str) -> None:
    """The answer to the next login has the name and the avatar."""
    log_in(user).send("PATCH", "/v1/me", json={"name": "王五", "avatar": "https://example.com/a.png"})
    again = log_in(user).login["user"]

    assert (again["name"], again["avatar"]) == ("王五", "https://example.com/a.png")


@pytest.mark.parametrize("nothing", [{}, {"name": None}, {"nickname": "x"}, {"id": "x", "phone": "1", "unionid": "u"}])
def test_unknown_profile_fields_change_nothing(me: Device, nothing: dict[str, Any]) -> None:
    """Null, unknown fields and read-only fields do not change the profile."""
    before = me.send("GET", "/v1/me").json()
    answer = me.send("PATCH", "/v1/me", json=nothing)

    assert answer.status_code == 200
    assert answer.json() == before | {"updated_at": answer.json()["updated_at"]}


@pytest.mark.parametrize("value", [7, True, 1.5, [], {}, ["张三"]], ids=str)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_profile_field_is_text(me: Device, method: str, value: Any) -> None:
    """A field with another type is 400, and the detail names the field."""
    answer = me.send(method, "/v1/me", json={"name": value})

    assert problem_of(answer) == (400, "request_invalid", "never")
    assert "name" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["a\nb", "\x00", "\x7f", "\x1b[31m", "\x85"], ids=repr)
def test_a_profile_field_has_no_control_characters(me: Device, text: str) -> None:
    """A field with control characters is 400."""
    answer = me.send("PATCH", "/v1/me", json={"name": text})

    assert problem_of(answer) == (400, "request_invalid", "never")
