"""One service for each session store and test process, shared by the tests that need no special settings."""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from support import browser, client_package, gateways, processes
from support.devices import Device, LogIn
from support.processes import Environment, Sandbox, Service, environment, run
from support.servers import sqlite_url

collect_ignore = [
    *([] if gateways.FOUND else ["test_gateways.py", "test_gateway_attacks.py", "test_gateway_headers.py"]),
    *([] if gateways.FOUND else ["test_rolling_restarts.py"]),
    *(
        []
        if browser.FOUND
        else [
            "test_console.py",
            "test_console_pages.py",
            "test_demo_page.py",
            "test_docs_browser.py",
            "test_docs_site.py",
            "test_scan_website.py",
        ]
    ),
]

OTHER_APPID = "wxfedcba9876543210"
"""The second app of `two_apps`."""

Open = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser, for `browser.visit`, which gives each test a context of its own.

    One for each module and not for the session: while it runs, its thread can run no other event loop, and so no test
    that is a coroutine.
    """
    with browser.browser() as started:
        yield started


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client of mini-programs, built from its sources and packed by npm: once for all processes of a run."""
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent
    with (directory / "packed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        source = directory / "packed"
        return next(source.glob("*.tgz"), None) or client_package.pack(source)


@pytest.fixture(scope="session")
def installed(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of modules with the client in it, as after its installation."""
    modules = tmp_path_factory.mktemp("modules")
    client_package.install(packed, modules)
    return modules


@pytest.fixture(scope="session")
def open_service(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Return a function that runs a service with SQLite, the sandbox and the given settings until a block ends."""

    @contextmanager
    def open_one(**settings: str) -> Iterator[Service]:
        where = {"wechat_url": sandbox.url, "database_url": sqlite_url(tmp_path_factory.mktemp("service"))}
        with processes.service(env=processes.environment(**{**where, **settings})) as service:
            yield service

    return open_one


@pytest.fixture(scope="session")
def service(open_service: Open) -> Iterator[Service]:
    """A service with its sessions in the database."""
    with open_service() as running:
        yield running


@pytest.fixture(scope="session")
def redis_service(open_service: Open, redis_url: str) -> Iterator[Service]:
    """A service with its sessions in Redis."""
    with open_service(redis_url=redis_url) as running:
        yield running


@pytest.fixture(scope="session")
def two_apps(open_service: Open) -> Iterator[Service]:
    """A service of two mini-programs, whose users may have any number of sessions."""
    apps = json.dumps([{"appid": OTHER_APPID, "secret": processes.SECRET}])
    with open_service(apps=apps, sessions_per_user="0") as running:
        yield running


@pytest.fixture(params=["service", "redis_service"], ids=["database", "redis"])
def either_service(request: pytest.FixtureRequest) -> Service:
    """A service, with its sessions in either store."""
    service: Service = request.getfixturevalue(request.param)
    return service


@pytest.fixture
def login(service: Service, sandbox: Sandbox) -> dict[str, Any]:
    """The login of a new user."""
    return service.log_in(sandbox.code())


@pytest.fixture
def bearer(login: dict[str, Any]) -> dict[str, str]:
    """The Authorization header of a new user."""
    return {"Authorization": f"Bearer {login['token']}"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the commands run."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def env(sandbox: Sandbox, directory: Path) -> Environment:
    """The settings of an installation with a migrated database."""
    settings = environment(wechat_url=sandbox.url, database_url=sqlite_url(directory))
    assert run("migrate", env=settings).returncode == 0
    return settings


@pytest.fixture
def empty(sandbox: Sandbox, tmp_path: Path) -> Environment:
    """The settings of an installation whose database is not migrated."""
    return environment(wechat_url=sandbox.url, database_url=sqlite_url(tmp_path))


@pytest.fixture
def log_in(either_service: Service, sandbox: Sandbox) -> LogIn:
    """Return a function that logs in a device of the user with that openid, or of a new user."""

    def log_in(openid: str = "", **headers: str) -> Device:
        return Device(either_service, sandbox.code(**({"openid": openid} if openid else {})), **headers)

    return log_in


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """The openid of a user that no other test uses."""
    return re.sub(r"[^A-Za-z0-9]", "-", request.node.name)[:100]


@pytest.fixture
def me(service: Service, sandbox: Sandbox) -> Device:
    """A device of a new user."""
    return Device(service, sandbox.code())
