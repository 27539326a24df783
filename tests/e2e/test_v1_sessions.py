"""/v1/sessions: where a user is logged in, and logging out."""

import pytest

from support.devices import SESSION_FIELDS, LogIn, problem_of
from support.processes import Service


def test_sessions_are_listed_newest_first(log_in: LogIn, user: str) -> None:
    """The list has every session of the user, newest first, and marks the one that asks."""
    devices = [log_in(user) for _ in range(3)]
    listed = devices[1].sessions()

    assert [session["id"] for session in listed] == [device.id for device in reversed(devices)]
    assert [session["current"] for session in listed] == [False, True, False]
    assert all(set(session) == SESSION_FIELDS for session in listed)


def test_the_current_session_is_the_one_of_the_login(log_in: LogIn) -> None:
    """GET /v1/sessions/current shows what the login showed."""
    device = log_in()

    assert device.ask("GET", "/v1/sessions/current").json() == device.login["session"]


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
def test_a_device_is_named_in_short(log_in: LogIn, user_agent: str, label: str) -> None:
    """A session shows a short label of its device, and its user agent or, where that is not kept, the label."""
    [session] = log_in(**{"User-Agent": user_agent}).sessions()

    assert session["device"] == label
    assert session["user_agent"] in (user_agent, label)


def test_a_list_has_only_the_sessions_of_its_user(log_in: LogIn, user: str) -> None:
    """The list has only the user's own sessions."""
    log_in()
    device = log_in(user)

    assert [session["id"] for session in device.sessions()] == [device.id]


def test_logging_out_here_ends_this_session_only(log_in: LogIn, user: str) -> None:
    """DELETE /v1/sessions/current is 204 without a body, and leaves the other devices alone."""
    here, there = log_in(user), log_in(user)
    answer = here.ask("DELETE", "/v1/sessions/current")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (here.reason(), there.reason()) == ("session_ended", None)
    assert [session["id"] for session in there.sessions()] == [there.id]


def test_logging_out_there_ends_that_session_only(log_in: LogIn, user: str) -> None:
    """DELETE /v1/sessions/{id} is 204, and ends that device's session."""
    here, there = log_in(user), log_in(user)

    assert here.ask("DELETE", f"/v1/sessions/{there.id}").status_code == 204
    assert (here.reason(), there.reason()) == (None, "session_ended")


def test_logging_out_everywhere_ends_all_sessions_of_the_user(log_in: LogIn, user: str) -> None:
    """DELETE /v1/sessions is 204, ends every session of the user, and nobody else's."""
    here, there, stranger = log_in(user), log_in(user), log_in()

    assert here.ask("DELETE", "/v1/sessions").status_code == 204
    assert (here.reason(), there.reason(), stranger.reason()) == ("session_ended", "session_ended", None)


def test_another_users_session_cannot_be_ended(log_in: LogIn) -> None:
    """Another user's session id is 404, and the session lives on."""
    mine, theirs = log_in(), log_in()
    answer = mine.ask("DELETE", f"/v1/sessions/{theirs.id}")

    assert problem_of(answer) == (404, "not_found", "never")
    assert theirs.reason() is None


def test_anothers_session_looks_like_no_session(log_in: LogIn) -> None:
    """The 404 of another user's session is the 404 of a session that never was."""
    mine, theirs = log_in(), log_in()

    assert mine.ask("DELETE", f"/v1/sessions/{theirs.id}").json() == mine.ask("DELETE", "/v1/sessions/no-such").json()


def test_a_session_is_ended_once(log_in: LogIn, user: str) -> None:
    """A session that has ended is 404 like one that never was."""
    here, there = log_in(user), log_in(user)
    here.ask("DELETE", f"/v1/sessions/{there.id}")

    assert problem_of(here.ask("DELETE", f"/v1/sessions/{there.id}")) == (404, "not_found", "never")


def test_a_session_id_logs_nobody_in(log_in: LogIn, either_service: Service) -> None:
    """The public id of a session is no token."""
    assert either_service.auth(log_in().id).json()["code"] == "token_invalid"


def test_a_login_after_logging_out_works(log_in: LogIn, user: str) -> None:
    """Who logged out everywhere logs in again as the same user."""
    before = log_in(user)
    before.ask("DELETE", "/v1/sessions")
    after = log_in(user)

    assert after.reason() is None
    assert after.login["user"]["id"] == before.login["user"]["id"]
