"""/v1/me: the profile."""

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
    """GET /v1/me has exactly the documented fields, and of a new user only what WeChat said."""
    device = log_in(user)
    profile = device.ask("GET", "/v1/me").json()

    assert set(profile) == ME_FIELDS
    assert profile["id"] == device.login["user"]["id"]
    assert {profile[name] for name in PROFILE_LIMITS} == {""}
    assert (profile["phone"], profile["unionid"]) == (None, None)
    assert profile["accounts"] == [{"appid": APPID, "openid": user}]
    assert RFC_3339_UTC.fullmatch(profile["created_at"])
    assert profile["updated_at"] == profile["created_at"]


def test_a_unionid_is_shown(service: Service, sandbox: Sandbox) -> None:
    """A unionid that WeChat gave is in the profile."""
    device = Device(service, sandbox.code(unionid="union-of-the-profile"))

    assert device.ask("GET", "/v1/me").json()["unionid"] == "union-of-the-profile"


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_profile_changes_where_it_is_told_to(me: Device, method: str) -> None:
    """PATCH and PUT change the fields that are sent, leave the others, and answer the profile."""
    before = me.ask(method, "/v1/me", json={"name": "张三", "city": "深圳"}).json()
    answer = me.ask(method, "/v1/me", json={"name": "李四"})

    assert answer.status_code == 200
    assert answer.json() == before | {"name": "李四", "updated_at": answer.json()["updated_at"]}
    assert answer.json() == me.ask("GET", "/v1/me").json()
    assert time_of(answer.json()["updated_at"]) > time_of(before["updated_at"])


@pytest.mark.parametrize("field", PROFILE_LIMITS)
def test_every_profile_field_can_be_set_and_emptied(me: Device, field: str) -> None:
    """Each profile field takes text of its greatest length, and takes it back."""
    longest = "长" * PROFILE_LIMITS[field]
    filled = me.ask("PATCH", "/v1/me", json={field: longest}).json()
    emptied = me.ask("PATCH", "/v1/me", json={field: ""}).json()

    assert filled[field] == longest
    assert emptied[field] == ""


@pytest.mark.parametrize("field", PROFILE_LIMITS)
def test_a_profile_field_that_is_too_long_is_refused(me: Device, field: str) -> None:
    """One character too many is a 400 that names the field, and changes nothing."""
    before = me.ask("GET", "/v1/me").json()
    answer = me.ask("PATCH", "/v1/me", json={field: "x" * (PROFILE_LIMITS[field] + 1)})

    assert problem_of(answer) == (400, "request_invalid", "never")
    assert field in answer.json()["detail"]
    assert me.ask("GET", "/v1/me").json() == before


@pytest.mark.parametrize("name", ["😀" * 64, "👨‍👩‍👧‍👦", "é́", "ﷺ", "  ", "null", "<b>&amp;", "'; --", "\\u0041"])
def test_a_name_comes_back_as_it_was_sent(log_in: LogIn, name: str) -> None:
    """Emoji, combining characters, blanks and text that looks like code are just text."""
    device = log_in()
    device.ask("PATCH", "/v1/me", json={"name": name})

    assert device.ask("GET", "/v1/me").json()["name"] == name


def test_a_login_shows_the_profile(log_in: LogIn, user: str) -> None:
    """Name and avatar are part of the next login's answer."""
    log_in(user).ask("PATCH", "/v1/me", json={"name": "王五", "avatar": "https://example.com/a.png"})
    again = log_in(user).login["user"]

    assert (again["name"], again["avatar"]) == ("王五", "https://example.com/a.png")


@pytest.mark.parametrize("nothing", [{}, {"name": None}, {"nickname": "x"}, {"id": "x", "phone": "1", "unionid": "u"}])
def test_unknown_profile_fields_change_nothing(me: Device, nothing: dict[str, Any]) -> None:
    """Null, unknown fields and those that are not the client's leave the profile as it was."""
    before = me.ask("GET", "/v1/me").json()
    answer = me.ask("PATCH", "/v1/me", json=nothing)

    assert answer.status_code == 200
    assert answer.json() == before | {"updated_at": answer.json()["updated_at"]}


@pytest.mark.parametrize("value", [7, True, 1.5, [], {}, ["张三"]], ids=str)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_profile_field_is_text(me: Device, method: str, value: Any) -> None:
    """A field of another type is a 400 that names the field."""
    answer = me.ask(method, "/v1/me", json={"name": value})

    assert problem_of(answer) == (400, "request_invalid", "never")
    assert "name" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["a\nb", "\x00", "\x7f", "\x1b[31m", "\x85"], ids=repr)
def test_a_profile_field_has_no_control_characters(me: Device, text: str) -> None:
    """Control characters are a 400."""
    answer = me.ask("PATCH", "/v1/me", json={"name": text})

    assert problem_of(answer) == (400, "request_invalid", "never")
