"""POST /v1/sessions: the answer to a login."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from support.devices import RFC_3339_UTC, SESSION_FIELDS, LogIn, time_of
from support.processes import Sandbox, Service


def test_a_login_answers_token_session_and_user(log_in: LogIn) -> None:
    """The answer to a login has exactly the documented fields."""
    login = log_in().login

    assert set(login) == {"token", "token_type", "session", "user"}
    assert set(login["session"]) == SESSION_FIELDS
    assert set(login["user"]) == {"id", "is_new", "name", "avatar"}
    assert login["token_type"] == "Bearer"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", login["token"])
    assert login["session"]["current"] is True


def test_token_and_session_id_do_not_contain_each_other(log_in: LogIn) -> None:
    """The session id does not contain the token, and the token does not contain the id."""
    login = log_in().login

    assert login["session"]["id"] not in login["token"]
    assert login["token"] not in login["session"]["id"]


def test_only_the_first_login_is_of_a_new_user(log_in: LogIn, user: str) -> None:
    """The same openid is the same user, who is new only once."""
    first, second = log_in(user).login["user"], log_in(user).login["user"]

    assert (first["is_new"], second["is_new"]) == (True, False)
    assert first["id"] == second["id"]


def test_every_login_has_its_own_token(log_in: LogIn, user: str) -> None:
    """Two logins of one user have different tokens and sessions."""
    first, second = log_in(user), log_in(user)

    assert first.login["token"] != second.login["token"]
    assert first.id != second.id


def test_times_are_utc_and_follow_the_policy(log_in: LogIn) -> None:
    """The times of a session are RFC 3339 in UTC, with an idle time of seven days and a maximum age of thirty."""
    session = log_in().login["session"]
    times = {name: session[name] for name in ("created_at", "last_seen_at", "idle_expires_at", "expires_at")}
    created = time_of(times["created_at"])

    assert all(RFC_3339_UTC.fullmatch(text) for text in times.values()), times
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert time_of(times["last_seen_at"]) == created
    assert time_of(times["idle_expires_at"]) == created + timedelta(seconds=604800)
    assert time_of(times["expires_at"]) == created + timedelta(seconds=2592000)


def test_a_session_has_its_user_agent_and_address(log_in: LogIn) -> None:
    """A session has the User-Agent and the address of its login."""
    device = log_in(**{"User-Agent": "MicroMessenger/8.0"})

    assert device.login["session"]["user_agent"] == "MicroMessenger/8.0"
    assert device.login["session"]["ip"] == "127.0.0.1"


def test_a_forwarded_address_is_ignored(log_in: LogIn) -> None:
    """Without trusted proxies, X-Forwarded-For has no effect."""
    device = log_in(**{"X-Forwarded-For": "203.0.113.9"})

    assert device.login["session"]["ip"] == "127.0.0.1"


@pytest.mark.parametrize("user_agent", [b"", "小程序".encode(), b"\x80\xff", b"a" * 5000], ids=repr)
def test_any_user_agent_logs_in(either_service: Service, sandbox: Sandbox, user_agent: bytes) -> None:
    """A login with a malformed or very long User-Agent succeeds, and the stored text is shortened."""
    answer = either_service.http.post(
        "/v1/sessions", json={"code": sandbox.code()}, headers={b"User-Agent": user_agent}
    )

    assert answer.status_code == 201
    assert len(answer.json()["session"]["user_agent"] or "") <= 256
