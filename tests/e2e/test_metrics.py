"""GET /metrics: the counts of all processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from adapters.wechat.errcodes import ERRCODES
from domain.session import EndReason
from entrypoints.buffered_counter import FLUSH_SECONDS
from entrypoints.metrics import DIRECTORY, METHODS
from entrypoints.problems import DEFECT, OUTCOMES
from support import servers
from support.admin import ADMIN_KEYS, admin_api
from support.faults import workers_of
from support.jobs import run_job
from support.plain_http import fetch
from support.processes import APPID, Environment, Sandbox, Service, environment, running, service
from support.raw_http import exchange
from support.scrapes import Scrape, scrape
from support.servers import wait_until

CODES = {kind.code for kind in OUTCOMES} | {DEFECT.code, "ok"}
SCRAPES = 12
"""Enough scrapes for each of three processes to answer one."""


@pytest.fixture
def env(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Environment:
    """The settings of an installation of its own."""
    return environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=redis_url)


@pytest.fixture
def own(env: Environment) -> Iterator[Service]:
    """A service of one process, without any events."""
    with service(env=env) as one:
        yield one


@pytest.fixture(scope="module")
def several(sandbox: Sandbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of three processes."""
    url = servers.sqlite_url(tmp_path_factory.mktemp("several"))
    env = environment(database_url=url, wechat_url=sandbox.url, redis_url=redis_url)
    with service(workers=3, env=env) as three:
        yield three
        three.process.stop()


def pids(seen: Scrape) -> set[int]:
    """Return the process ids in a scrape."""
    return {int(pid) for pid in seen.values("pid")}


def test_one_process_counts_its_events(own: Service, sandbox: Sandbox) -> None:
    """The metrics count a login, its checks and its log-out once each, and WeChat's call and the requests by route."""
    login = own.log_in(sandbox.code())
    for _ in range(3):
        own.auth(login["token"])
    own.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {login['token']}"})
    own.auth(login["token"])
    seen = scrape(own.url)

    assert seen.value("wxlogin_logins_total", app=APPID, outcome="ok") == 1
    assert seen.value("wxlogin_users_created_total", app=APPID) == 1
    assert seen.value("wxlogin_session_checks_total", outcome="ok") == 4
    assert seen.value("wxlogin_session_checks_total", outcome="session_ended") == 1
    assert seen.value("wxlogin_sessions_ended_total", reason="session_ended") == 1
    assert seen.value("wxlogin_wechat_requests_total", path="/sns/jscode2session", errcode="0") == 1
    assert seen.value("wxlogin_wechat_request_duration_seconds_count", path="/sns/jscode2session") == 1
    assert seen.value("wxlogin_http_requests_total", method="POST", route="/v1/sessions", status="201") == 1
    assert seen.value("wxlogin_http_request_duration_seconds_count", method="POST", route="/v1/sessions") == 1
    assert pids(seen) == set(workers_of(own))
    assert seen.total("process_resident_memory_bytes") > 0
    assert seen.total("wxlogin_build_info") == 1


def test_no_connection_is_in_use_without_requests(own: Service, sandbox: Sandbox) -> None:
    """When no request runs, no connection of the pool is in use."""
    for _ in range(3):
        own.log_in(sandbox.code())
    seen = scrape(own.url)

    assert seen.value("wxlogin_database_connections_in_use") == 0
    assert seen.value("wxlogin_database_pool_size") == 1


def test_several_processes_publish_the_sum(several: Service, sandbox: Sandbox) -> None:
    """The metrics add up the counts of all processes, and are the same from each process."""
    before = scrape(several.url)
    tokens = [
        fetch(f"{several.url}/v1/sessions", "POST", json={"code": sandbox.code()}).json()["token"] for _ in range(6)
    ]
    for token in tokens * 5:
        fetch(f"{several.url}/auth", headers={"Authorization": f"Bearer {token}"})
    wait_until(lambda: _checks_since(before, several) == 30, "what the others counted a moment ago")
    last = scrape(several.url)
    seen = [scrape(several.url) for _ in range(SCRAPES)]

    def since(name: str, **labels: str) -> list[float]:
        return [each.value(name, **labels) - before.value(name, **labels) for each in seen]

    assert set(since("wxlogin_logins_total", app=APPID, outcome="ok")) == {6}
    assert set(since("wxlogin_session_checks_total", outcome="ok")) == {30}
    assert set(since("wxlogin_wechat_request_duration_seconds_count", path="/sns/jscode2session")) == {6}
    assert {each.value("wxlogin_database_pool_size") for each in seen} == {3}
    labels = {"method": "GET", "route": "/metrics", "status": "200"}
    scrapes = [each.value("wxlogin_http_requests_total", **labels) for each in [last, *seen]]
    assert [later - scrapes[0] for later in scrapes] == list(range(SCRAPES + 1))


def _checks_since(before: Scrape, running: Service) -> float:
    return scrape(running.url).total("wxlogin_session_checks_total") - before.total("wxlogin_session_checks_total")


def log_in_and_check(running: Service, sandbox: Sandbox, times: int) -> None:
    """Log in and check the session so many times, on connections that any process may accept."""
    for _ in range(times):
        token = fetch(f"{running.url}/v1/sessions", "POST", json={"code": sandbox.code()}).json()["token"]
        fetch(f"{running.url}/auth", headers={"Authorization": f"Bearer {token}"})


def test_counts_of_a_killed_process_remain(several: Service, sandbox: Sandbox) -> None:
    """After SIGKILL of two of three processes, their counts until one second before remain.

    Their gauges are removed.
    """
    first = scrape(several.url)
    log_in_and_check(several, sandbox, 12)
    time.sleep(3 * FLUSH_SECONDS)
    killed = sorted(pids(first))[:2]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _replaced(several, killed, 3), "two other processes", seconds=30)
    after = [scrape(several.url) for _ in range(SCRAPES)]

    assert len(pids(first)) == 3
    for name in ("wxlogin_logins_total", "wxlogin_session_checks_total", "wxlogin_wechat_requests_total"):
        assert {each.total(name) - first.total(name) for each in after} == {12}
    assert {each.value("wxlogin_database_pool_size") for each in after} == {3}
    assert {each.total("wxlogin_build_info") for each in after} == {1}


def test_counts_of_a_replaced_process_remain(several: Service, sandbox: Sandbox) -> None:
    """After a reload, the counts of each process remain, up to its last check."""
    first = scrape(several.url)
    log_in_and_check(several, sandbox, 12)
    several.process.process.send_signal(signal.SIGHUP)
    wait_until(lambda: _replaced(several, list(pids(first)), 3), "three other processes", seconds=60)
    after = [scrape(several.url) for _ in range(SCRAPES)]

    for name in ("wxlogin_logins_total", "wxlogin_session_checks_total", "wxlogin_wechat_requests_total"):
        assert {each.total(name) - first.total(name) for each in after} == {12}
    assert {each.value("wxlogin_database_pool_size") for each in after} == {3}


def _replaced(running: Service, old: list[int], count: int) -> bool:
    """Return whether so many processes answer, none of them an old one."""
    try:
        now = pids(scrape(running.url))
    except httpx2.HTTPError:
        return False
    return len(now) == count and not now & set(old)


def test_the_directory_of_counts_is_deleted(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> None:
    """The directory of the counts is private, and is deleted when the service stops."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url) | {"TMPDIR": str(tmp_path)}
    with service(workers=2, env=env) as two:
        (directory,) = tmp_path.glob("wxlogin-metrics-*")
        mode = directory.stat().st_mode & 0o777
        status = two.process.stop()

    assert (mode, status) == (0o700, 0)
    assert not directory.exists()


def test_counts_remain_in_an_operators_directory(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> None:
    """With PROMETHEUS_MULTIPROC_DIR, the counts remain after a worker is killed.

    The directory remains after the service.
    """
    directory = tmp_path / "counts"
    directory.mkdir()
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url) | {DIRECTORY: str(directory)}
    with service(env=env) as one:
        log_in_and_check(one, sandbox, 3)
        time.sleep(3 * FLUSH_SECONDS)
        killed = workers_of(one)
        os.kill(killed[0], signal.SIGKILL)
        wait_until(lambda: _replaced(one, killed, 1), "another process", seconds=30)
        log_in_and_check(one, sandbox, 2)
        seen = scrape(one.url)
        status = one.process.stop()

    assert seen.value("wxlogin_session_checks_total", outcome="ok") == 5
    assert seen.value("wxlogin_logins_total", app=APPID, outcome="ok") == 5
    assert seen.value("wxlogin_database_pool_size") == 1
    assert status == 0
    assert list(directory.glob("counter_*.db"))
    assert not list(directory.glob("gauge_live*.db"))


def test_a_missing_directory_prevents_the_start(sqlite_url: str, tmp_path: Path) -> None:
    """When the directory of the counts does not exist, the service does not start. The message names the variable."""
    env = environment(database_url=sqlite_url) | {DIRECTORY: str(tmp_path / "missing")}
    with running("serve", "--port", "0", env=env) as process:
        status = process.wait()

    assert status == 5
    assert DIRECTORY in process.text()


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.3", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_prometheus_gets_the_requested_format(service: Service, accept: str, content_type: str) -> None:
    """The metrics need no authentication, are not cached, and have exactly the content type of Prometheus."""
    answer = service.http.get("/metrics", headers={"Accept": accept})

    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert answer.headers["cache-control"] == "no-store"
    assert service.http.post("/metrics").status_code == 405


def junk(own: Service, code: Callable[[], str]) -> None:
    """Send requests with values that must not become labels."""
    for number in range(5):
        own.http.get(f"/no/such/path/{number}")
        own.http.get(f"/v1/sessions/{number}{'x' * 40}")
        own.http.delete(f"/v1/sessions/{number}")
        own.http.request("PROPFIND", f"/v1/me?{number}")
        own.http.post("/v1/sessions", json={"code": code(), "appid": f"wx-junk-{number}"})
        own.http.post(
            "/login", json={"code": f"junk{number}"}, headers={"Referer": f"https://servicewechat.com/j{number}/"}
        )
        own.http.get("/auth", headers={"Authorization": f"Bearer {number}{'x' * 42}"})
        own.http.get(f"/auth?{number}", headers={"Authorization": f"Basic {number}"})
        exchange(own.url, f"GET /%{number}\xff HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))


def test_clients_cannot_add_label_values(own: Service, sandbox: Sandbox) -> None:
    """Paths, methods, appids, tokens and codes of clients add no label values."""
    for errcode in (-1, 40164, 99998, 99999):
        sandbox.fail(errcode=errcode)
        own.http.post("/v1/sessions", json={"code": sandbox.code()})
    junk(own, sandbox.code)
    scrape(own.url)
    before = scrape(own.url)
    for _ in range(3):
        junk(own, sandbox.code)
    after = scrape(own.url)
    routes = set(own.http.get("/docs/openapi.json").json()["paths"])

    assert set(before.samples) == set(after.samples)
    assert after.values("app") == {APPID, "none"}
    assert after.values("outcome") <= CODES
    assert after.values("errcode") <= {str(number) for number in ERRCODES} | {"0"} | CODES
    assert after.values("reason") == set(EndReason)
    assert after.values("method") <= METHODS | {"other"}
    assert {route.replace(":str", "") for route in after.values("route")} <= routes | {"no route"}


def test_a_limited_login_is_counted_by_the_limits_name(sandbox: Sandbox, sqlite_url: str) -> None:
    """Refusals by address and by app are counted separately."""
    limits = {"login_rate_limit": "2/minute", "app_login_rate_limit": "1/minute"}
    with service(env=environment(database_url=sqlite_url, wechat_url=sandbox.url, **limits)) as limited:
        for _ in range(4):
            limited.http.post("/v1/sessions", json={"code": sandbox.code()})
        seen = scrape(limited.url)

    assert seen.value("wxlogin_logins_limited_total", limit="app-login") == 1
    assert seen.value("wxlogin_logins_limited_total", limit="login") == 2


def test_a_worker_publishes_its_metrics(sandbox: Sandbox, sqlite_url: str, own_redis_url: str) -> None:
    """With --metrics-port, a worker publishes the metrics of its jobs."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=own_redis_url)
    with running("worker", "--metrics-port", "0", env=env) as worker:
        url = worker.event("metrics")["url"].removesuffix("/metrics")
        worker.event("working")
        run_job(own_redis_url, "wxlogin.login", code=sandbox.code())
        run_job(own_redis_url, "wxlogin.login", code="x" * 32)
        seen = scrape(url)
        status = worker.stop()

    assert seen.value("wxlogin_logins_total", app=APPID, outcome="ok") == 1
    assert seen.value("wxlogin_logins_total", app=APPID, outcome="code_invalid") == 1
    assert status == 0


def test_a_worker_whose_port_is_in_use_does_not_start(
    own: Service, sandbox: Sandbox, sqlite_url: str, redis_url: str
) -> None:
    """A worker whose metrics port is in use does not start, and the message names the option."""
    port = str(httpx2.URL(own.url).port)
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=redis_url)
    with running("worker", "--metrics-port", port, env=env) as worker:
        status = worker.wait()

    assert status == 5
    assert "--metrics-port" in worker.text()


def test_the_admin_process_publishes_what_operators_do(own: Service, env: Environment, sandbox: Sandbox) -> None:
    """With --metrics-port, `admin` publishes its events and responses, and nothing else on that port."""
    user_id = own.log_in(sandbox.code())["user"]["id"]
    with admin_api(env, "--metrics-port", "0") as admin:
        url = admin.process.event("metrics")["url"].removesuffix("/metrics")
        before = scrape(url)
        assert admin.send("PUT", f"/users/{user_id}/block", json={"reason": "spam"}).status_code == 200
        after = scrape(url)
        without_key = fetch(f"{url}/admin/v1/users")

    assert before.value("wxlogin_events_total", type="user.blocked") == 0
    assert after.value("wxlogin_events_total", type="user.blocked") == 1
    assert after.value("wxlogin_sessions_ended_total", reason=EndReason.ENDED.value) == 1
    labels = {"method": "PUT", "route": "/admin/v1/users/{user_id}/block", "status": "200"}
    assert after.value("wxlogin_http_requests_total", **labels) == 1
    assert user_id not in without_key.text


def test_the_metrics_of_the_admin_process_survive_a_reload(env: Environment) -> None:
    """After a SIGHUP, the new server process publishes on the same port, and after the end no process does."""
    with admin_api(env, "--metrics-port", "0") as admin:
        url = admin.process.event("metrics")["url"].removesuffix("/metrics")
        before = pids(scrape(url))
        admin.process.process.send_signal(signal.SIGHUP)
        wait_until(lambda: before.isdisjoint(pids(scrape(url))), "the new process")
        wait_until(lambda: [each["event"] for each in admin.process.events()].count("reloaded") == 1, "the reload")
        after = [pids(scrape(url)) for _ in range(SCRAPES)]

        assert admin.process.stop() == 0
    with pytest.raises(httpx2.TransportError):
        scrape(url)

    assert len(before) == 1
    assert after == [after[0]] * SCRAPES


def test_an_admin_process_whose_metrics_port_is_in_use_does_not_start(own: Service, env: Environment) -> None:
    """An `admin` whose metrics port is in use does not start, and the message names the option."""
    port = str(httpx2.URL(own.url).port)
    keys = {"WXLOGIN_ADMIN_KEYS": ADMIN_KEYS}
    with running("admin", "--port", "0", "--metrics-port", port, env={**env, **keys}) as admin:
        status = admin.wait()

    assert status == 5
    assert "--metrics-port" in admin.text()
