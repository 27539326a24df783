"""A store that dies, hangs or returns, and what a client sees of it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest

from support.processes import Sandbox, Service, environment, service
from support.servers import Server, postgres_server, redis_server, wait_until

PATIENCE_SECONDS = 6.0
"""The longest that a client may wait for the word that a store is away."""


@dataclass
class Fragile:
    """A service, and the ways to hurt a store of its."""

    service: Service
    sandbox: Sandbox
    name: str
    kill: Callable[[], None]
    restart: Callable[[], None]
    freeze: Callable[[], None]
    thaw: Callable[[], None]


@pytest.fixture
def on_redis(sandbox: Sandbox, sqlite_url: str) -> Iterator[Fragile]:
    """Sessions in a Redis that can be killed."""
    with redis_server() as redis:
        url = f"redis://127.0.0.1:{redis.port}/0"
        with service(env=environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=url)) as running:
            yield _fragile(running, sandbox, "session store", redis)


@pytest.fixture
def on_postgres(sandbox: Sandbox) -> Iterator[Fragile]:
    """Users and sessions in a PostgreSQL that can be killed."""
    with postgres_server() as (url, postgres):
        env = environment(database_url=url, wechat_url=sandbox.url)
        with service(env=env) as running:
            yield _fragile(running, sandbox, "database", postgres)


def _fragile(running: Service, sandbox: Sandbox, name: str, server: Server) -> Fragile:
    return Fragile(
        running,
        sandbox,
        name,
        server.kill,
        server.start,
        lambda: server.send(signal.SIGSTOP),
        lambda: server.send(signal.SIGCONT),
    )


@pytest.fixture(params=["on_redis", "on_postgres"])
def fragile(request: pytest.FixtureRequest) -> Fragile:
    """Each store in turn."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_a_store_that_dies_is_503_within_seconds_and_heals(fragile: Fragile) -> None:
    """kill -9 of a store gives store_unavailable until it is back, and then everything works by itself."""
    token = fragile.service.log_in(fragile.sandbox.code())["token"]
    fragile.kill()
    _sees_it_is_away(fragile, token)
    fragile.restart()

    _sees_it_is_back(fragile)


def test_a_store_that_hangs_is_503_within_seconds_and_heals(fragile: Fragile) -> None:
    """A store that takes requests and never answers is as good as dead, until it wakes up."""
    token = fragile.service.log_in(fragile.sandbox.code())["token"]
    fragile.freeze()
    _sees_it_is_away(fragile, token)
    fragile.thaw()

    _sees_it_is_back(fragile)
    wait_until(lambda: fragile.service.auth(token).status_code == 204, "the old session")


def test_a_database_in_use_elsewhere_costs_no_session(on_redis: Fragile) -> None:
    """With sessions in Redis, /auth asks nothing else: it answers while the users' database is gone."""
    token = on_redis.service.log_in(on_redis.sandbox.code())["token"]

    assert on_redis.service.auth(token).status_code == 204
    on_redis.kill()
    assert on_redis.service.auth(token).status_code == 503


def test_killing_one_of_two_workers_leaves_a_service(sandbox: Sandbox, sqlite_url: str) -> None:
    """kill -9 of one process: the other answers, and another takes its place."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service("--workers", "2", env=env) as running:
        children = _children(running.process.process.pid)
        os.kill(children[0], signal.SIGKILL)

        wait_until(lambda: _answers(running), "an answer")
        wait_until(lambda: len(_children(running.process.process.pid)) == 2, "another process")
        assert children[0] not in _children(running.process.process.pid)


def test_killing_the_supervisor_leaves_nobody_behind(sandbox: Sandbox, sqlite_url: str) -> None:
    """kill -9 of the process that supervises the others ends them, too: a restart finds the port free."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service("--workers", "2", env=env) as running:
        children = [psutil.Process(pid) for pid in _children(running.process.process.pid)]
        os.kill(running.process.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=20)

        assert len(children) == 2
        assert alive == []
        assert not _answers(running)


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
    assert ready.json()["checks"][fragile.name] != "ok"
    assert fragile.service.http.get("/healthz").status_code == 200


def _sees_it_is_back(fragile: Fragile) -> None:
    wait_until(lambda: fragile.service.http.get("/readyz").status_code == 200, "ready again", PATIENCE_SECONDS)
    token = fragile.service.log_in(fragile.sandbox.code())["token"]

    assert fragile.service.auth(token).status_code == 204


def _timed(ask: Callable[[], httpx.Response]) -> httpx.Response:
    began = time.monotonic()
    answer = ask()

    assert time.monotonic() - began < PATIENCE_SECONDS
    return answer


def _answers(running: Service) -> bool:
    try:
        return httpx.get(f"{running.url}/healthz").is_success
    except httpx.TransportError:
        return False


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children() if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
