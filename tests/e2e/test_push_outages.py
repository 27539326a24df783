"""WeChat has an answer to its push within two seconds, whatever the stores do."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from threading import Thread

import pytest

from support.devices import Device
from support.faults import DATABASE, REDIS, Installation, installation
from support.processes import Sandbox, Service
from support.proxy import How
from support.pushes import CANCEL, TOKEN, as_json, event, revocation, send
from support.servers import create_database, wait_until

LIMIT = 2.0
"""The time limit of an answer in seconds (CONTRACT section 13)."""

ATTEMPTS = 5
"""How often a busy machine may delay an answer."""

Open = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="module")
def behind_proxies(sandbox: Sandbox, redis_url: str, postgres: str) -> Iterator[Installation]:
    """A service whose database and Redis can fail."""
    with installation(redis_url, create_database(postgres), sandbox, push_token=TOKEN) as started:
        yield started


def is_ready(service: Service) -> bool:
    """Return whether the service reaches its stores."""
    return service.http.get("/readyz").status_code == 200


def timed(service: Service, body: bytes) -> tuple[int, float]:
    """Return the status and the seconds of a push."""
    begun = time.monotonic()
    status = send(service.http, body).status_code
    return status, time.monotonic() - begun


@pytest.mark.parametrize("kind", ["revocation", "cancellation"])
@pytest.mark.parametrize("redis", [How.PASSING, How.SILENT, How.REFUSING])
@pytest.mark.parametrize("database", [How.SILENT, How.REFUSING, How.PASSING])
def test_an_answer_comes_within_two_seconds(
    behind_proxies: Installation, user: str, kind: str, database: How, redis: How
) -> None:
    """Success if the push is kept or applied, else a request to repeat it: with open connections, and in time."""
    service, sandbox, proxies = behind_proxies.service, behind_proxies.sandbox, behind_proxies.proxies
    seconds = list[float]()
    while len(seconds) < ATTEMPTS and (not seconds or seconds[-1] >= LIMIT):
        wait_until(lambda: is_ready(service), "the stores")
        Device(service, sandbox.code(openid=user))
        proxies[DATABASE].become(database)
        proxies[REDIS].become(redis)
        status, taken = timed(service, as_json(revocation(user) if kind == "revocation" else event(CANCEL, user)))
        seconds.append(taken)
        for each in proxies.values():
            each.become(How.PASSING)

        assert status in ((200,) if redis is How.PASSING else (200, 503))

    assert min(seconds) < LIMIT


def test_a_reader_of_sqlite_delays_no_one(open_service: Open, sandbox: Sandbox, user: str, tmp_path: Path) -> None:
    """While another process reads SQLite's file, a cancellation and the requests beside it are answered in time."""
    path = tmp_path / "wxlogin.db"
    with open_service(push_token=TOKEN, database_url=f"sqlite+aiosqlite:///{path}") as running:
        Device(running, sandbox.code(openid=user))
        other = Device(running, sandbox.code(openid=f"{user}2"))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM users").fetchall()
            answers = list[tuple[int, float]]()
            push = Thread(target=lambda: answers.append(timed(running, as_json(event(CANCEL, user)))))
            push.start()
            checks = list[float]()
            while push.is_alive():
                begun = time.monotonic()
                assert other.reason() is None
                checks.append(time.monotonic() - begun)
            push.join()
    ((status, taken),) = answers

    assert status == 200
    assert taken < LIMIT
    assert max(checks) < LIMIT / 2
