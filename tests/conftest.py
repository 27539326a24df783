"""Servers that tests share: one of each kind in each test process, started when the first test needs it."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import backends, browser, gateways, processes, programs, servers, topologies
from support.clock import Clock
from support.places import DATABASES

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # a busy machine fails no test


def pytest_report_header() -> list[str]:
    """Report the tested databases, gateways, backends and browser, and which programs are missing."""
    missing = programs.find_missing()
    return [
        f"databases: {', '.join(DATABASES)}",
        f"gateways: {', '.join(gateways.FOUND)}",
        f"backends: {', '.join(backends.FOUND)}",
        f"browser: {browser.FOUND or 'none'}",
        *([f"not found, so not tested: {', '.join(missing)}"] if missing else []),
    ]


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection, which otherwise takes a tenth of the time."""
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Select asyncio, on which the service runs."""
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis: TEST_REDIS_URL, or else a server that the tests start."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    with servers.redis_server() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """The URL of a Redis Cluster of three masters."""
    with topologies.redis_cluster() as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def redis_sentinel_url() -> Iterator[str]:
    """The URL of a Redis with a replica and its sentinels."""
    with topologies.redis_sentinel() as sentinel:
        yield sentinel.url


@pytest.fixture(scope="module")
def own_redis_url() -> Iterator[str]:
    """The URL of a Redis whose queue no other module reads."""
    with servers.redis_server() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database."""
    with servers.postgres_url() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """The URL of a MariaDB server, without a database."""
    with servers.mariadb_url() as url:
        yield url


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database on each kind of server."""
    if request.param == "sqlite":
        return servers.sqlite_url(tmp_path)
    server = {"postgresql": "postgres", "mariadb": "mariadb"}[request.param]
    return servers.create_database(request.getfixturevalue(server))


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A new, migrated database on each kind of server."""
    servers.migrate_database(empty_database_url)
    return empty_database_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A new, migrated SQLite database."""
    url = servers.sqlite_url(tmp_path)
    servers.migrate_database(url)
    return url


@pytest.fixture(scope="session")
def sandbox() -> Iterator[processes.Sandbox]:
    """A WeChat sandbox in its own process."""
    with processes.sandbox() as running:
        yield running
