"""A database with sessions that is killed, hangs or returns, and a supervisor that is killed.

The tests with sessions in Redis, and under load, are in test_fault_matrix.py.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import psutil
import pytest

from support import plain_http
from support.faults import workers_of
from support.processes import Sandbox, Service, environment, service
from support.servers import Server, postgres_server, wait_until

PATIENCE_SECONDS = 6.0
"""The longest time that a client may wait for the error that a store is unavailable."""


@dataclass
class Fragile:
    """A service, and the database with its users and sessions."""

    service: Service
    sandbox: Sandbox
    database: Server


@pytest.fixture
def fragile(sandbox: Sandbox) -> Iterator[Fragile]:
    """A service with users and sessions in a PostgreSQL that the test can kill."""
    with postgres_server() as (url, postgres):
        env = environment(database_url=url, wechat_url=sandbox.url)
        with service(env=env) as running:
            yield Fragile(running, sandbox, postgres)


def test_a_killed_database_is_503_within_seconds_until_it_returns(fragile: Fragile) -> None:
    """After SIGKILL of the database, requests are store_unavailable within seconds.

    When it runs again, they succeed.
    """
    token = fragile.service.log_in(fragile.sandbox.code())["token"]
    fragile.database.kill()
    _assert_unavailable(fragile, token)
    fragile.database.start()

    _assert_recovered(fragile)


def test_a_hanging_database_is_503_within_seconds_until_it_continues(fragile: Fragile) -> None:
    """While the database hangs, requests are store_unavailable within seconds. When it continues, they succeed."""
    token = fragile.service.log_in(fragile.sandbox.code())["token"]
    fragile.database.send(signal.SIGSTOP)
    _assert_unavailable(fragile, token)
    fragile.database.send(signal.SIGCONT)

    _assert_recovered(fragile)
    wait_until(lambda: fragile.service.auth(token).status_code == 204, "the old session")


def test_the_workers_end_after_the_supervisor_is_killed(sandbox: Sandbox, sqlite_url: str) -> None:
    """After SIGKILL of the supervisor its workers end too, so that a restart finds the port free."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service(workers=2, env=env) as running:
        children = [psutil.Process(pid) for pid in workers_of(running)]
        os.kill(running.process.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=20)

        assert len(children) == 2
        assert alive == []
        assert not _answers(running)


def test_a_silent_process_that_is_killed_is_replaced_at_once(sandbox: Sandbox, sqlite_url: str) -> None:
    """A stopped process that is killed is replaced at once, and not after the limit for silent processes."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service(workers=2, env=env) as running:
        victim, other = workers_of(running)
        os.kill(victim, signal.SIGSTOP)
        time.sleep(1.5)  # the supervisor checks twice a second
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(running)) - {victim}) == 2, "another process", seconds=15)

        assert other in workers_of(running)


def _assert_unavailable(fragile: Fragile, token: str) -> None:
    asked = _timed(lambda: fragile.service.auth(token))
    code = fragile.sandbox.code()
    login = _timed(lambda: fragile.service.http.post("/v1/sessions", json={"code": code}))
    article = _timed(lambda: fragile.service.http.post("/login/", json={"code": fragile.sandbox.code()}))
    ready = _timed(lambda: fragile.service.http.get("/readyz"))

    assert (asked.status_code, asked.json()["code"], asked.json()["retry"]) == (503, "store_unavailable", "later")
    assert int(asked.headers["retry-after"]) > 0
    assert (login.status_code, login.json()["code"], login.json()["retry"]) == (503, "store_unavailable", "new_code")
    assert (article.status_code, article.json()["status"]) == (503, 3)
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"] != "ok"
    assert fragile.service.http.get("/healthz").status_code == 200


def _assert_recovered(fragile: Fragile) -> None:
    wait_until(lambda: fragile.service.http.get("/readyz").status_code == 200, "ready again", PATIENCE_SECONDS)
    token = fragile.service.log_in(fragile.sandbox.code())["token"]

    assert fragile.service.auth(token).status_code == 204


def _timed(send: Callable[[], httpx2.Response]) -> httpx2.Response:
    began = time.monotonic()
    answer = send()

    assert time.monotonic() - began < PATIENCE_SECONDS
    return answer


def _answers(running: Service) -> bool:
    try:
        return plain_http.fetch(f"{running.url}/healthz").is_success
    except httpx2.TransportError:
        return False
