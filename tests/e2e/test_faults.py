"""A database that dies, hangs or returns, with the sessions in it, and a supervisor that dies.

With sessions in Redis, and under load: test_fault_matrix.py.
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
"""The longest that a client may wait for the word that a store is away."""


@dataclass
class Fragile:
    """A service, and the database that has its users and sessions."""

    service: Service
    sandbox: Sandbox
    database: Server


@pytest.fixture
def fragile(sandbox: Sandbox) -> Iterator[Fragile]:
    """Users and sessions in a PostgreSQL that can be killed."""
    with postgres_server() as (url, postgres):
        env = environment(database_url=url, wechat_url=sandbox.url)
        with service(env=env) as running:
            yield Fragile(running, sandbox, postgres)


def test_a_database_that_dies_is_503_within_seconds_and_heals(fragile: Fragile) -> None:
    """kill -9 of the database gives store_unavailable until it is back, and then everything works by itself."""
    token = fragile.service.log_in(fragile.sandbox.code())["token"]
    fragile.database.kill()
    _sees_it_is_away(fragile, token)
    fragile.database.start()

    _sees_it_is_back(fragile)


def test_a_database_that_hangs_is_503_within_seconds_and_heals(fragile: Fragile) -> None:
    """A database that takes requests and never answers is as good as dead, until it wakes up."""
    token = fragile.service.log_in(fragile.sandbox.code())["token"]
    fragile.database.send(signal.SIGSTOP)
    _sees_it_is_away(fragile, token)
    fragile.database.send(signal.SIGCONT)

    _sees_it_is_back(fragile)
    wait_until(lambda: fragile.service.auth(token).status_code == 204, "the old session")


def test_killing_the_supervisor_leaves_nobody_behind(sandbox: Sandbox, sqlite_url: str) -> None:
    """kill -9 of the process that supervises the others ends them, too: a restart finds the port free."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service(workers=2, env=env) as running:
        children = [psutil.Process(pid) for pid in workers_of(running)]
        os.kill(running.process.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=20)

        assert len(children) == 2
        assert alive == []
        assert not _answers(running)


def test_a_silent_process_that_dies_is_replaced_at_once(sandbox: Sandbox, sqlite_url: str) -> None:
    """One that is killed while its supervisor waits for a sign of life is missed at once, and not in a minute."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service(workers=2, env=env) as running:
        victim, other = workers_of(running)
        os.kill(victim, signal.SIGSTOP)
        time.sleep(1.5)  # the supervisor looks twice a second
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(running)) - {victim}) == 2, "another process", seconds=15)

        assert other in workers_of(running)


def _sees_it_is_away(fragile: Fragile, token: str) -> None:
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


def _sees_it_is_back(fragile: Fragile) -> None:
    wait_until(lambda: fragile.service.http.get("/readyz").status_code == 200, "ready again", PATIENCE_SECONDS)
    token = fragile.service.log_in(fragile.sandbox.code())["token"]

    assert fragile.service.auth(token).status_code == 204


def _timed(ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    began = time.monotonic()
    answer = ask()

    assert time.monotonic() - began < PATIENCE_SECONDS
    return answer


def _answers(running: Service) -> bool:
    try:
        return plain_http.ask(f"{running.url}/healthz").is_success
    except httpx2.TransportError:
        return False
