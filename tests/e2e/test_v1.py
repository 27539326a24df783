"""/v1: sessions and profiles, as section 3.2 of the public interface has them."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from support.processes import APPID, Sandbox, Service
from support.servers import wait_until

SESSION_FIELDS = {
    "id",
    "current",
    "created_at",
    "last_seen_at",
    "idle_expires_at",
    "expires_at",
    "user_agent",
    "ip",
}
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
REFERER = {"Referer": f"https://servicewechat.com/{APPID}/0/page-frame.html"}
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Device:
    """One login of one user, and what it may ask."""

    def __init__(self, service: Service, code: str, **headers: str) -> None:
        answer = service.http.post("/v1/sessions", json={"code": code}, headers=headers)
        assert answer.status_code == 201, answer.text
        self.login = answer.json()
        self.id = self.login["session"]["id"]
        self._http = service.http
        self._bearer = {"Authorization": f"Bearer {self.login['token']}"}

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A request with this device's token."""
        return self._http.request(method, path, headers=self._bearer, **request)

    def reason(self) -> str | None:
        """Why its session is over, or None while it lives."""
        answer = self.ask("GET", "/v1/sessions/current")
        return None if answer.status_code == 200 else str(answer.json()["code"])

    def sessions(self) -> list[dict[str, Any]]:
        """Its user's sessions."""
        sessions: list[dict[str, Any]] = self.ask("GET", "/v1/sessions").raise_for_status().json()["sessions"]
        return sessions


LogIn = Callable[..., Device]


@pytest.fixture
def log_in(either_service: Service, sandbox: Sandbox) -> LogIn:
    """Logs a device in: of the user with that openid, or of a new one."""

    def log_in(openid: str = "", **headers: str) -> Device:
        return Device(either_service, sandbox.code(**({"openid": openid} if openid else {})), **headers)

    return log_in


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """The openid of a user of this test's own."""
    return re.sub(r"[^A-Za-z0-9]", "-", request.node.name)[:100]


@pytest.fixture
def me(service: Service, sandbox: Sandbox) -> Device:
    """A device of a new user."""
    return Device(service, sandbox.code())


@pytest.fixture(scope="module", params=["database", "redis"])
def hasty_service(request: pytest.FixtureRequest, open_service: Any) -> Iterator[Service]:
    """A service of short patience: sessions idle out after a second and end after two, and two are a user's limit."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    with open_service(session_idle_seconds="1", session_max_seconds="2", sessions_per_user="2", **redis) as service:
        yield service


def time_of(text: str) -> datetime:
    """The moment that the text names."""
    return datetime.fromisoformat(text)


def problem_of(answer: httpx.Response) -> tuple[int, str, str]:
    """What a program goes by: status, code, retry."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, body["code"], body["retry"]


def test_a_login_answers_token_session_and_user(log_in: LogIn) -> None:
    """A login is answered with exactly the documented fields."""
    login = log_in().login

    assert set(login) == {"token", "token_type", "session", "user"}
    assert set(login["session"]) == SESSION_FIELDS
    assert set(login["user"]) == {"id", "is_new", "name", "avatar"}
    assert login["token_type"] == "Bearer"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", login["token"])
    assert login["session"]["current"] is True


def test_a_token_says_nothing_about_its_session(log_in: LogIn) -> None:
    """Neither does the public session id contain the token, nor the token the id."""
    login = log_in().login

    assert login["session"]["id"] not in login["token"]
    assert login["token"] not in login["session"]["id"]


def test_only_the_first_login_is_of_a_new_user(log_in: LogIn, user: str) -> None:
    """The same openid is the same user, who is new once."""
    first, second = log_in(user).login["user"], log_in(user).login["user"]

    assert (first["is_new"], second["is_new"]) == (True, False)
    assert first["id"] == second["id"]


def test_every_login_has_a_token_of_its_own(log_in: LogIn, user: str) -> None:
    """Two logins of one user share neither token nor session."""
    first, second = log_in(user), log_in(user)

    assert first.login["token"] != second.login["token"]
    assert first.id != second.id


def test_times_are_utc_and_tell_the_policy(log_in: LogIn) -> None:
    """A session's times are RFC 3339 in UTC, and are what seven days of idling and thirty of age make of now."""
    session = log_in().login["session"]
    times = {name: session[name] for name in ("created_at", "last_seen_at", "idle_expires_at", "expires_at")}
    created = time_of(times["created_at"])

    assert all(RFC_3339_UTC.fullmatch(text) for text in times.values()), times
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert time_of(times["last_seen_at"]) == created
    assert time_of(times["idle_expires_at"]) == created + timedelta(seconds=604800)
    assert time_of(times["expires_at"]) == created + timedelta(seconds=2592000)


def test_a_session_tells_where_it_comes_from(log_in: LogIn) -> None:
    """A session shows the User-Agent and the address of its login."""
    device = log_in(**{"User-Agent": "MicroMessenger/8.0"})

    assert device.login["session"]["user_agent"] == "MicroMessenger/8.0"
    assert device.login["session"]["ip"] == "127.0.0.1"


def test_a_forwarded_address_is_not_believed(log_in: LogIn) -> None:
    """Without trusted proxies, X-Forwarded-For changes nothing."""
    device = log_in(**{"X-Forwarded-For": "203.0.113.9"})

    assert device.login["session"]["ip"] == "127.0.0.1"


@pytest.mark.parametrize("user_agent", [b"", "小程序".encode(), b"\x80\xff", b"a" * 5000], ids=repr)
def test_any_user_agent_logs_in(either_service: Service, sandbox: Sandbox, user_agent: bytes) -> None:
    """A strange or very long User-Agent is shortened at most, and never in the way."""
    answer = either_service.http.post(
        "/v1/sessions", json={"code": sandbox.code()}, headers={b"User-Agent": user_agent}
    )

    assert answer.status_code == 201
    assert len(answer.json()["session"]["user_agent"] or "") <= 256


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


def test_nobody_sees_another_users_sessions(log_in: LogIn, user: str) -> None:
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


def test_the_oldest_session_gives_way(log_in: LogIn, user: str) -> None:
    """The thirteenth login of a user ends the first, which is told so."""
    devices = [log_in(user) for _ in range(13)]
    reasons = [device.reason() for device in devices]

    assert reasons == ["session_replaced", *[None] * 12]
    assert len(devices[-1].sessions()) == 12


def test_an_unused_session_expires(hasty_service: Service, sandbox: Sandbox) -> None:
    """A session that is unused for too long is over, says that it expired, and is not listed."""
    idle = Device(hasty_service, sandbox.code(openid="idle"))
    wait_until(lambda: datetime.now(UTC) > time_of(idle.login["session"]["idle_expires_at"]), "a second of idling")
    fresh = Device(hasty_service, sandbox.code(openid="idle"))

    assert idle.reason() == "session_expired"
    assert [session["id"] for session in fresh.sessions()] == [fresh.id]


def test_a_used_session_lives_on(hasty_service: Service, sandbox: Sandbox) -> None:
    """A session in use outlives its idle time, and its times move."""
    device = Device(hasty_service, sandbox.code())
    began = device.login["session"]
    deadline = time_of(began["idle_expires_at"]) + timedelta(seconds=0.3)
    wait_until(lambda: device.reason() is not None or datetime.now(UTC) > deadline, "longer than the idle time")
    now = device.ask("GET", "/v1/sessions/current").json()

    assert time_of(now["last_seen_at"]) > time_of(began["last_seen_at"])
    assert time_of(now["idle_expires_at"]) > time_of(began["idle_expires_at"])
    assert (now["created_at"], now["expires_at"]) == (began["created_at"], began["expires_at"])


def test_expired_sessions_do_not_count(hasty_service: Service, sandbox: Sandbox) -> None:
    """What has expired takes no place: the login that follows replaces nobody."""
    old = [Device(hasty_service, sandbox.code(openid="cap")) for _ in range(2)]
    wait_until(lambda: datetime.now(UTC) > time_of(old[1].login["session"]["idle_expires_at"]), "a second of idling")
    new = [Device(hasty_service, sandbox.code(openid="cap")) for _ in range(2)]

    assert [device.reason() for device in new] == [None, None]
    assert {device.reason() for device in old} == {"session_expired"}


def test_a_session_ends_at_its_greatest_age(hasty_service: Service, sandbox: Sandbox) -> None:
    """A session that is in use all the time is over at its greatest age, and says that it expired."""
    device = Device(hasty_service, sandbox.code())
    wait_until(lambda: device.reason() is not None, "the end of the session")
    ended = datetime.now(UTC)

    assert device.reason() == "session_expired"
    assert ended >= time_of(device.login["session"]["expires_at"])


def test_a_limit_of_zero_is_no_limit(two_apps: Service, sandbox: Sandbox) -> None:
    """With WXLOGIN_SESSIONS_PER_USER=0 no session gives way."""
    devices = [Device(two_apps, sandbox.code(openid="many"), **REFERER) for _ in range(14)]

    assert {device.reason() for device in devices} == {None}


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
def test_what_is_no_profile_field_changes_nothing(me: Device, nothing: dict[str, Any]) -> None:
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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions"),
        ("GET", "/v1/sessions/current"),
        ("DELETE", "/v1/sessions"),
        ("DELETE", "/v1/sessions/current"),
        ("DELETE", "/v1/sessions/some-id"),
        ("GET", "/v1/me"),
        ("PATCH", "/v1/me"),
        ("PUT", "/v1/me"),
    ],
)
@pytest.mark.parametrize(
    ("headers", "code", "challenge"),
    [
        ({}, "token_missing", "Bearer"),
        (
            {"Authorization": "Bearer " + "x" * 43},
            "token_invalid",
            'Bearer error="invalid_token", error_description="token_invalid"',
        ),
    ],
    ids=["no token", "unknown token"],
)
def test_nothing_works_without_a_session(
    service: Service, method: str, path: str, headers: dict[str, str], code: str, challenge: str
) -> None:
    """Every call but the login is a 401 without a live session, with the reason and the challenge."""
    body = {"json": {"name": "x"}} if method in ("PATCH", "PUT") else {}
    answer = service.http.request(method, path, headers=headers, **body)

    assert problem_of(answer) == (401, code, "new_code")
    assert answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"errcode": -1}, (503, "wechat_unavailable", "new_code")),
        ({"errcode": 40013}, (500, "app_misconfigured", "never")),
        ({"errcode": 40125}, (500, "app_misconfigured", "never")),
        ({"errcode": 40164}, (500, "app_misconfigured", "never")),
        ({"errcode": 40243}, (500, "app_misconfigured", "never")),
        ({"errcode": 41002}, (500, "app_misconfigured", "never")),
        ({"errcode": 41004}, (500, "app_misconfigured", "never")),
        ({"errcode": 41008}, (400, "code_missing", "never")),
        ({"errcode": 40029}, (400, "code_invalid", "new_code")),
        ({"errcode": 40163}, (400, "code_used", "new_code")),
        ({"errcode": 40226}, (403, "user_blocked_by_wechat", "never")),
        ({"errcode": 45009}, (429, "rate_limited", "later")),
        ({"errcode": 45011}, (429, "rate_limited", "later")),
        ({"errcode": 99999}, (503, "wechat_unavailable", "new_code")),
        ({"status": 500}, (503, "wechat_unavailable", "new_code")),
        ({"drop": True}, (503, "wechat_unavailable", "new_code")),
        ({"body": "<html>"}, (502, "wechat_bad_answer", "new_code")),
        ({"body": {"session_key": "a2V5"}}, (502, "wechat_bad_answer", "new_code")),
        ({"body": "x" * 100_000}, (502, "wechat_bad_answer", "new_code")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_failure_of_wechat_has_its_problem(
    service: Service, sandbox: Sandbox, fault: dict[str, Any], problem: tuple[int, str, str]
) -> None:
    """Status, code and retry of a failed login are those of the table, and WeChat's errcode is told."""
    sandbox.fail(**fault)
    answer = service.http.post("/v1/sessions", json={"code": sandbox.code()})
    body = answer.json()

    assert problem_of(answer) == problem
    assert {"type", "title", "status", "detail", "code", "retry"} <= set(body)
    assert body["status"] == answer.status_code
    assert body.get("errcode") == fault.get("errcode")
    assert ("retry-after" in answer.headers) == (problem[2] == "later")


def test_wechats_request_id_is_told(service: Service) -> None:
    """The rid that WeChat's support asks for is part of the problem."""
    body = service.http.post("/v1/sessions", json={"code": "never-issued"}).json()

    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", body["rid"])


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, (400, "code_missing", "never")),
        ({"code": ""}, (400, "code_missing", "never")),
        ({"code": None}, (400, "code_missing", "never")),
        ({"code": 7}, (400, "request_invalid", "never")),
        ({"code": "x", "appid": "wx-unknown"}, (400, "app_unknown", "never")),
    ],
    ids=str,
)
def test_what_the_client_does_wrong_has_its_problem(
    service: Service, body: dict[str, Any], problem: tuple[int, str, str]
) -> None:
    """A login without a usable code or app is refused with the code of the table."""
    assert problem_of(service.http.post("/v1/sessions", json=body)) == problem


def test_a_code_works_once(either_service: Service, sandbox: Sandbox) -> None:
    """The second use of a code is code_used."""
    code = sandbox.code()
    either_service.log_in(code)

    assert problem_of(either_service.http.post("/v1/sessions", json={"code": code})) == (400, "code_used", "new_code")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v2/sessions", 404),
        ("PUT", "/v1/sessions", 405),
        ("POST", "/v1/me", 405),
    ],
)
def test_a_path_or_method_that_is_not_there_is_a_problem(service: Service, method: str, path: str, status: int) -> None:
    """404 and 405 are problems too, and 405 says what is allowed."""
    answer = service.http.request(method, path)

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_service_says_that_it_works(either_service: Service, path: str) -> None:
    """/healthz and /readyz answer 200 with status ok."""
    answer = either_service.http.get(path)

    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_readiness_names_what_it_checked(service: Service, redis_service: Service) -> None:
    """/readyz names the database, and the session store where it is another."""
    assert service.http.get("/readyz").json()["checks"] == {"database": "ok"}
    assert redis_service.http.get("/readyz").json()["checks"] == {"database": "ok", "session store": "ok"}
