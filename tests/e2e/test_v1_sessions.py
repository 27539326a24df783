"""/v1/sessions: the list of a user's sessions, and log-out."""

import pytest

from support.devices import SESSION_FIELDS, LogIn, problem_of
from support.processes import Service


def test_sessions_are_listed_newest_first(log_in: LogIn, user: str) -> None:
    """The list has every session of the user, newest first, and marks the current one."""
    devices = [log_in(user) for _ in range(3)]
    listed = devices[1].sessions()

    assert [session["id"] for session in listed] == [device.id for device in reversed(devices)]
    assert [session["current"] for session in listed] == [False, True, False]
    assert all(set(session) == SESSION_FIELDS for session in listed)


def test_the_current_session_is_the_one_of_the_login(log_in: LogIn) -> None:
    """GET /v1/sessions/current returns the session of the login."""
    device = log_in()

    assert device.send("GET", "/v1/sessions/current").json() == device.login["session"]


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Mobile/15E148 MicroMessenger/8.0.49(0x18003129) NetType/WIFI Language/zh_CN",
            "iPhone · iOS 17.4 · WeChat 8.0.49",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("x" * 200, "x" * 64),
    ],
    ids=["WeChat", "short", "long"],
)
def test_a_session_has_a_short_device_label(log_in: LogIn, user_agent: str, label: str) -> None:
    """A session has a short label of its device, and its user agent or the label."""
    [session] = log_in(**{"User-Agent": user_agent}).sessions()

    assert session["device"] == label
    assert session["user_agent"] in (user_agent, label)


def test_a_list_has_only_the_sessions_of_its_user(log_in: LogIn, user: str) -> None:
    """The list has only the user's own sessions."""
    log_in()
    device = log_in(user)

    assert [session["id"] for session in device.sessions()] == [device.id]


def test_logging_out_here_ends_this_session_only(log_in: LogIn, user: str) -> None:
    """DELETE /v1/sessions/current is 204 without a body, and does not end the other sessions."""
    here, there = log_in(user), log_in(user)
    answer = here.send("DELETE", "/v1/sessions/current")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (here.reason(), there.reason()) == ("session_ended", None)
    assert [session["id"] for session in there.sessions()] == [there.id]


def test_logging_out_there_ends_that_session_only(log_in: LogIn, user: str) -> None:
    """DELETE /v1/sessions/{id} is 204, and ends that session only."""
    here, there = log_in(user), log_in(user)

    assert here.send("DELETE", f"/v1/sessions/{there.id}").status_code == 204
    assert (here.reason(), there.reason()) == (None, "session_ended")


def test_logging_out_everywhere_ends_all_sessions_of_the_user(log_in: LogIn, user: str) -> None:
    """DELETE /v1/sessions is 204, and ends every session of the user and of no other user."""
    here, there, stranger = log_in(user), log_in(user), log_in()

    assert here.send("DELETE", "/v1/sessions").status_code == 204
    assert (here.reason(), there.reason(), stranger.reason()) == ("session_ended", "session_ended", None)


def test_another_users_session_cannot_be_ended(log_in: LogIn) -> None:
    """DELETE of another user's session is 404, and the session stays live."""
    mine, theirs = log_in(), log_in()
    answer = mine.send("DELETE", f"/v1/sessions/{theirs.id}")

    assert problem_of(answer) == (404, "not_found", "never")
    assert theirs.reason() is None


def test_another_users_session_looks_like_an_unknown_one(log_in: LogIn) -> None:
    """The 404 of another user's session equals the 404 of an unknown session."""
    mine, theirs = log_in(), log_in()

    assert mine.send("DELETE", f"/v1/sessions/{theirs.id}").json() == mine.send("DELETE", "/v1/sessions/no-such").json()


def test_a_session_is_ended_once(log_in: LogIn, user: str) -> None:
    """DELETE of an ended session is 404."""
    here, there = log_in(user), log_in(user)
    here.send("DELETE", f"/v1/sessions/{there.id}")

    assert problem_of(here.send("DELETE", f"/v1/sessions/{there.id}")) == (404, "not_found", "never")


def test_a_session_id_does_not_authenticate(log_in: LogIn, either_service: Service) -> None:
    """The id of a session does not authenticate."""
    assert either_service.auth(log_in().id).json()["code"] == "token_invalid"


def test_a_login_after_logging_out_works(log_in: LogIn, user: str) -> None:
    """After a log-out everywhere, the user can log in again as the same user."""
    before = log_in(user)
    before.send("DELETE", "/v1/sessions")
    after = log_in(user)

    assert after.reason() is None
    assert after.login["user"]["id"] == before.login["user"]["id"]
