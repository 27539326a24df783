"""Errors under /v1 are problems that a program can handle."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from support.devices import problem_of
from support.processes import Sandbox, Service
from support.servers import free_port, sqlite_url, wait_until

Open = Callable[..., AbstractContextManager[Service]]


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
def test_every_call_but_login_needs_a_session(
    service: Service, method: str, path: str, headers: dict[str, str], code: str, challenge: str
) -> None:
    """Every call except the login needs a live session. Otherwise it is 401, with the reason and the challenge."""
    body = {"name": "x"} if method in ("PATCH", "PUT") else None
    answer = service.http.request(method, path, headers=headers, json=body)

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
    """The status, code and retry advice of a failed login are those of the table. The problem has WeChat's errcode."""
    sandbox.fail(**fault)
    answer = service.http.post("/v1/sessions", json={"code": sandbox.code()})
    body = answer.json()

    assert problem_of(answer) == problem
    assert {"type", "title", "status", "detail", "code", "retry"} <= set(body)
    assert body["status"] == answer.status_code
    assert body.get("errcode") == fault.get("errcode")
    assert ("retry-after" in answer.headers) == (problem[2] == "later")


def test_a_problem_has_wechats_request_id(service: Service) -> None:
    """The problem has WeChat's request id (rid)."""
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
def test_refused_logins_have_the_code_of_the_contract(
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
def test_an_unknown_path_or_method_is_a_problem(service: Service, method: str, path: str, status: int) -> None:
    """An unknown path is a problem with 404, and an unknown method one with 405 and Allow."""
    answer = service.http.request(method, path)

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_working_service_is_healthy_and_ready(either_service: Service, path: str) -> None:
    """/healthz and /readyz answer 200 with status ok."""
    answer = either_service.http.get(path)

    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_readiness_names_what_it_checked(service: Service, redis_service: Service) -> None:
    """/readyz names the database, and the session store if it is another store."""
    assert service.http.get("/readyz").json()["checks"] == {"database": "ok"}
    assert redis_service.http.get("/readyz").json()["checks"] == {"database": "ok", "session store": "ok"}


def test_readiness_names_only_the_store(open_service: Open, tmp_path: Path) -> None:
    """/readyz says which store does not answer. Only the log has the details."""
    redis_url = f"redis://127.0.0.1:{free_port()}/0"
    with open_service(redis_url=redis_url, database_url=sqlite_url(tmp_path)) as blind:
        for path in tmp_path.iterdir():
            path.write_bytes(b"")
        answer = blind.http.get("/readyz")

        assert (answer.status_code, answer.json()) == (
            503,
            {"status": "unavailable", "checks": {"database": "unavailable", "session store": "unavailable"}},
        )
        assert blind.http.get("/readyz", params={"exclude": "stores"}).status_code == 200
        assert blind.http.get("/readyz", params={"exclude": "other"}).status_code == 400
        wait_until(lambda: blind.process.text().count('"/readyz"') == 2, "the log")
        details = {line["store"]: line["detail"] for line in blind.process.events() if line.get("where") == "/readyz"}
        assert re.fullmatch(r"The database does not answer as it should \(\w+Error\)", details["database"])
        assert details["session store"] == "Redis does not answer as it should (ConnectionError)"


OPTIONAL = {"docs": ["/docs", "/docs/openapi.json", "/docs/assets/swagger_style.css"], "metrics": ["/metrics"]}


@pytest.mark.parametrize("setting", OPTIONAL)
def test_a_disabled_path_is_not_found(open_service: Open, setting: str) -> None:
    """A disabled path is answered as an unknown path is, with any method. The other path still works."""
    (other,) = set(OPTIONAL) - {setting}
    with open_service(**{setting: "false"}) as service:
        unknown_path = {method: service.http.request(method, "/nowhere") for method in ("GET", "POST")}
        for path in OPTIONAL[setting]:
            for method, unknown in unknown_path.items():
                answer = service.http.request(method, path)

                assert (answer.status_code, answer.content) == (404, unknown.content)
        assert [service.http.get(path).status_code for path in OPTIONAL[other]] == [200] * len(OPTIONAL[other])
