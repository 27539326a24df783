"""Failures of the servers that the service needs, under load: no answer is wrong, and the service recovers."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from support.faults import DATABASE, MATRIX, NEEDED_BY, REDIS, WECHAT, Installation, installation
from support.load import Load, load
from support.processes import Sandbox
from support.proxy import How
from support.servers import create_database, wait_until

PATIENCE_SECONDS = 6.0
"""The longest time that a client may wait for any answer."""

READINESS = {REDIS: ["session store"], DATABASE: ["database"], WECHAT: []}
"""The failed checks of /readyz. A failure of WeChat does not make the service unready."""

CLIENTS = 4

SILENT_SECONDS = 8.0
"""Longer than an ordinary pause of a worker, and shorter than the supervisor's limit."""


@pytest.fixture(scope="module")
def installed(redis_url: str, postgres: str, sandbox: Sandbox) -> Iterator[Installation]:
    """Two processes that share a Redis and a PostgreSQL."""
    with installation(redis_url, create_database(postgres), sandbox, session_idle_seconds="300") as started:
        yield started


@pytest.fixture
def working(installed: Installation) -> Iterator[Load]:
    """Clients that run all steps, with correct answers so far."""
    with load(installed.service.url, installed.sandbox, CLIENTS) as started:
        began = time.monotonic()
        wait_until(lambda: started.tally.all_good_since(began), "load")
        yield started


@pytest.mark.parametrize(("what", "how"), MATRIX)
def test_no_answer_is_wrong_during_a_failure(installed: Installation, working: Load, what: str, how: How) -> None:
    """During a failure no ended session is accepted, no live one is refused, and no client waits for too long.

    Only requests that need the failed server fail, with an error that says what to do. /readyz shows the failure. After
    the failure the service uses the server again.
    """
    http = installed.service.http
    with installed.failing(what, how, working), ThreadPoolExecutor() as threads:
        healthy, ready = (threads.submit(http.get, path) for path in ("/healthz", "/readyz"))
        article = threads.submit(http.post, "/login/", json={"code": installed.sandbox.code()})
    working.verify()
    tally, failed = working.tally, how is not How.SLOW

    assert tally.wrong == []
    assert not tally.broken
    assert {step for step, _, _ in tally.refused} <= set(NEEDED_BY[what] if failed else ()), installed.outages()
    assert tally.slowest < PATIENCE_SECONDS
    assert healthy.result().status_code == 200
    assert unready(ready.result()) == (READINESS[what] if failed else [])
    assert article.result().json()["status"] == (3 if failed else 0)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_is_replaced(installed: Installation, working: Load, stop: signal.Signals) -> None:
    """While one of several processes ends, the others answer.

    SIGTERM aborts no request, and SIGKILL loses no session.
    """
    wait_until(lambda: len(installed.workers()) == 2, "the one that left before to be gone")
    victim, other = installed.workers()
    os.kill(victim, stop)
    wait_until(lambda: len(set(installed.workers()) - {victim}) == 2, "another process")
    began = time.monotonic()
    wait_until(lambda: working.tally.all_good_since(began), "good answers")
    working.verify()
    tally = working.tally

    assert tally.wrong == []
    assert not tally.refused
    assert stop is signal.SIGKILL or not tally.broken
    assert other in installed.workers()
    assert tally.slowest < PATIENCE_SECONDS


def test_a_process_that_is_silent_for_seconds_is_not_replaced(installed: Installation) -> None:
    """A process that is silent for some seconds, as on a busy machine, is not killed and not replaced."""
    before = installed.workers()
    os.kill(before[0], signal.SIGSTOP)
    time.sleep(SILENT_SECONDS)
    os.kill(before[0], signal.SIGCONT)

    assert installed.workers() == before


def unready(answer: httpx2.Response) -> list[str]:
    """Return the failed checks of /readyz."""
    return [store for store, state in answer.json()["checks"].items() if state != "ok"]
