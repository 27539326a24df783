"""Databases that contract tests share, one of each kind: they tell their users and sessions apart by name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.memory.user_repository import MemoryUserRepository
from adapters.sql.database import Database
from adapters.sql.user_repository import SqlUserRepository
from application.ports.user_repository import UserRepository
from support import servers
from support.clock import Clock
from support.places import SESSION_PLACES, USER_PLACES
from support.sessions import World
from support.stores import open_home

SERVER = {"postgresql": "postgres", "mariadb": "mariadb"}


@pytest.fixture(scope="session", params=USER_PLACES)
def user_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where users are kept: `memory`, or the URL of a migrated database."""
    return _place(request, tmp_path_factory)


@pytest.fixture(scope="session", params=SESSION_PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where sessions are kept: `memory`, or the URL of a Redis of whichever kind, or of a migrated database."""
    return _place(request, tmp_path_factory)


@pytest.fixture(params=SESSION_PLACES[1:])
def unreachable_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a server that is not there."""
    urls = {
        "redis": f"redis://127.0.0.1:{servers.free_port()}/0",
        "redis-cluster": f"redis+cluster://127.0.0.1:{servers.free_port()},127.0.0.1:{servers.free_port()}",
        "redis-sentinel": f"redis+sentinel://127.0.0.1:{servers.free_port()},127.0.0.1:{servers.free_port()}/master",
        "sqlite": f"sqlite+aiosqlite:///{tmp_path}/no/such/directory.db",
        "postgresql": f"postgresql+asyncpg://nobody:nothing@127.0.0.1:{servers.free_port()}/nowhere",
        "mariadb": f"mysql+asyncmy://nobody:nothing@127.0.0.1:{servers.free_port()}/nowhere",
    }
    return urls[request.param]


@pytest.fixture
async def users(user_place: str) -> AsyncIterator[UserRepository]:
    """The repository under test."""
    if user_place == "memory":
        yield MemoryUserRepository()
        return
    async with Database(user_place) as database:
        yield SqlUserRepository(database)


@pytest.fixture
async def world(session_place: str, clock: Clock) -> AsyncIterator[World]:
    """A session store under test."""
    async with open_home(session_place) as home:
        yield World(home, clock)


def _place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    kind: str = request.param
    if kind == "memory":
        return kind
    if kind.startswith("redis"):
        return str(request.getfixturevalue(f"{kind.replace('-', '_')}_url"))
    if kind == "sqlite":
        url = servers.sqlite_url(tmp_path_factory.mktemp("contract"))
    else:
        url = servers.create_database(request.getfixturevalue(SERVER[kind]))
    servers.migrate_database(url)
    return url
