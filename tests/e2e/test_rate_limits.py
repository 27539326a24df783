"""Limits on logins, for clients and operators."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.jobs import run_job
from support.processes import SECRET, Sandbox, Service, environment, run, running, service
from support.servers import free_port, sqlite_url, wait_until

Open = Callable[..., AbstractContextManager[Service]]

each_route = pytest.mark.parametrize("route", ["/v1/sessions", "/login/"])


@pytest.fixture(scope="module")
def strict(open_service: Open) -> Iterator[Service]:
    """A service behind a proxy, with a limit of two logins an hour for each address."""
    with open_service(login_rate_limit="2/hour", trusted_proxies="127.0.0.1") as running:
        yield running


@pytest.fixture
def network() -> str:
    """The prefix of a /64 that no other test uses."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"


def log_in(service: Service, code: str, address: str = "", route: str = "/v1/sessions") -> httpx2.Response:
    """Log in from the address that a proxy reports."""
    headers = {"X-Forwarded-For": address} if address else {}
    return service.http.post(route, json={"code": code}, headers=headers)


def use_up(service: Service, sandbox: Sandbox, address: str, route: str = "/v1/sessions") -> httpx2.Response:
    """Log in twice, and return the answer of the third login."""
    assert log_in(service, sandbox.code(), address, route).is_success
    assert log_in(service, sandbox.code(), address, route).is_success
    return log_in(service, sandbox.code(), address, route)


@each_route
def test_an_address_beyond_its_limit_gets_the_time_to_wait(
    strict: Service, sandbox: Sandbox, network: str, route: str
) -> None:
    """A refused login is 429, with the limit and the time to wait in its headers."""
    answer = use_up(strict, sandbox, f"{network}::1", route)
    seconds = int(answer.headers["retry-after"])

    assert answer.status_code == 429
    assert 1700 < seconds <= 1800
    assert answer.headers["ratelimit-policy"] == '"login";q=2;w=3600'
    assert answer.headers["ratelimit"] == f'"login";r=0;t={seconds}'
    assert answer.headers["cache-control"] == "no-store"


def test_a_refusal_is_a_problem(strict: Service, sandbox: Sandbox, network: str) -> None:
    """A refused login is a problem with rate_limited and `later`."""
    answer = use_up(strict, sandbox, f"{network}::1")
    body: dict[str, Any] = answer.json()

    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["code"], body["status"], body["retry"]) == ("rate_limited", 429, "later")
    assert "errcode" not in body


def test_a_refusal_has_the_articles_shape(strict: Service, sandbox: Sandbox, network: str) -> None:
    """A refused login at the article's route has status 3 and a text for the user."""
    answer = use_up(strict, sandbox, f"{network}::1", "/login/")

    assert answer.json() == {"status": 3, "msg": "请求过于频繁，请稍后再试"}


@each_route
def test_a_refused_login_does_not_use_its_code(open_service: Open, sandbox: Sandbox, network: str, route: str) -> None:
    """A refused login is not sent to WeChat, so that the same request succeeds after the wait."""
    with open_service(login_rate_limit="2/second", trusted_proxies="127.0.0.1") as service:
        calls, logins, code = sandbox.call_count(), 0, sandbox.code()
        while log_in(service, code, f"{network}::1", route).is_success:
            logins, code = logins + 1, sandbox.code()
        heard = sandbox.call_count() - calls

        assert heard == logins >= 2
        wait_until(lambda: log_in(service, code, f"{network}::1", route).is_success, "the next login")


@each_route
def test_a_login_has_the_remaining_quota(strict: Service, sandbox: Sandbox, network: str, route: str) -> None:
    """The answer to a login has the remaining quota of its address."""
    first, last = (log_in(strict, sandbox.code(), f"{network}::1", route) for _ in range(2))

    assert first.headers["ratelimit-policy"] == last.headers["ratelimit-policy"] == '"login";q=2;w=3600'
    assert first.headers["ratelimit"] == '"login";r=1'
    assert re.fullmatch(r'"login";r=0;t=1[78]\d\d', last.headers["ratelimit"])
    assert "retry-after" not in last.headers


def test_each_address_has_its_own_limit(strict: Service, sandbox: Sandbox, network: str) -> None:
    """Behind a trusted proxy, the logins of one client do not use the quota of another."""
    assert use_up(strict, sandbox, f"{network}::1").status_code == 429
    assert log_in(strict, sandbox.code(), f"{network}0::1").is_success
    assert log_in(strict, sandbox.code(), f"{network}::1").status_code == 429


def test_all_addresses_of_an_ipv6_network_share_one_limit(strict: Service, sandbox: Sandbox, network: str) -> None:
    """All addresses of a /64 share one limit."""
    answers = [log_in(strict, sandbox.code(), f"{network}::{number}") for number in range(1, 4)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]


def test_x_forwarded_for_of_a_client_is_ignored(open_service: Open, sandbox: Sandbox, network: str) -> None:
    """X-Forwarded-For of an untrusted client does not change its limit."""
    with open_service(login_rate_limit="2/hour") as service:
        answers = [log_in(service, sandbox.code(), f"{network}{number}::1") for number in range(3)]

        assert [answer.status_code for answer in answers] == [201, 201, 429]


def test_a_code_that_wechat_refuses_counts(strict: Service, network: str) -> None:
    """A login with a code that WeChat refuses counts for the limit."""
    answers = [log_in(strict, secrets.token_hex(16), f"{network}::1") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 429]


@pytest.mark.parametrize("body", [b"", b"{", b'{"code":5}', b"[]"], ids=str)
def test_a_malformed_request_does_not_count(strict: Service, sandbox: Sandbox, network: str, body: bytes) -> None:
    """A malformed request does not count for the limit."""
    headers = {"X-Forwarded-For": f"{network}::1", "Content-Type": "application/json"}
    refused = [strict.http.post("/v1/sessions", content=body, headers=headers) for _ in range(5)]

    assert {answer.status_code for answer in refused} == {400}
    assert log_in(strict, sandbox.code(), f"{network}::1").headers["ratelimit"] == '"login";r=1'


def test_by_default_an_address_may_log_in_600_times_a_minute(open_service: Open, sandbox: Sandbox) -> None:
    """By default the limit is 600 logins a minute for each address."""
    with open_service(login_rate_limit="") as service:
        answer = log_in(service, sandbox.code())

        assert answer.headers["ratelimit-policy"] == '"login";q=600;w=60'
        assert answer.headers["ratelimit"] == '"login";r=599'


@each_route
def test_without_a_limit_there_are_no_limit_headers(service: Service, sandbox: Sandbox, route: str) -> None:
    """With `off` there is no limit, and no header of a limit."""
    answers = [log_in(service, sandbox.code(), route=route) for _ in range(5)]

    assert all(answer.is_success for answer in answers)
    assert not [name for answer in answers for name in answer.headers if name.startswith("ratelimit")]


def test_processes_that_share_a_redis_share_the_limit(
    open_service: Open, sandbox: Sandbox, redis_url: str, network: str
) -> None:
    """Processes that share a Redis share the limit of an address."""
    given = {"login_rate_limit": "2/hour", "trusted_proxies": "127.0.0.1", "redis_url": redis_url}
    with open_service(**given) as one, open_service(**given) as other:
        answers = [log_in(service, sandbox.code(), f"{network}::1") for service in (one, other, one, other)]

        assert [answer.status_code for answer in answers] == [201, 201, 429, 429]


def test_an_apps_limit_applies_to_http_command_and_worker(sandbox: Sandbox, own_redis_url: str, tmp_path: Path) -> None:
    """The limit of an app applies to HTTP, command line and worker together, and to all addresses."""
    env = environment(
        appid=f"wx{secrets.token_hex(8)}",
        app_secret=SECRET,
        app_login_rate_limit="3/hour",
        database_url=sqlite_url(tmp_path),
        redis_url=own_redis_url,
        wechat_url=sandbox.url,
    )
    appid = env["WXLOGIN_APPID"]
    with service(env=env) as http, running("worker", env=env) as worker:
        worker.event("working")
        calls = sandbox.call_count()
        admitted = [
            log_in(http, sandbox.code(appid)).json(),
            run_job(own_redis_url, "wxlogin.login", code=sandbox.code(appid)),
        ]
        by_command = run("login", sandbox.code(appid), env=env)
        refused = log_in(http, sandbox.code(appid))
        job = run_job(own_redis_url, "wxlogin.login", code=sandbox.code(appid))
        command = run("login", sandbox.code(appid), env=env)

        assert all("token" in body for body in admitted)
        assert by_command.returncode == 0
        assert sandbox.call_count() - calls == 3
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["ratelimit-policy"] == '"app-login";q=3;w=3600'
        assert refused.headers["ratelimit"] == f'"app-login";r=0;t={refused.headers["retry-after"]}'
        assert (job["code"], job["retry"]) == ("rate_limited", "later")
        assert command.returncode == 4
        assert command.stderr.startswith("wxlogin: rate_limited")


def test_a_login_that_cannot_be_counted_does_not_use_its_code(open_service: Open, sandbox: Sandbox) -> None:
    """When Redis is down, a service with a limit refuses a login before it calls WeChat."""
    redis_url = f"redis://127.0.0.1:{free_port()}/0"
    with open_service(login_rate_limit="600/minute", redis_url=redis_url) as service:
        calls = sandbox.call_count()
        answer = log_in(service, sandbox.code())

        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.json()["retry"] == "new_code"
        assert sandbox.call_count() == calls
