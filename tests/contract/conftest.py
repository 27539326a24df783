"""Databases that contract tests share, one of each kind. Unique names keep the users and sessions of tests apart."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.memory.user_repository import MemoryUserRepository
from adapters.sql.database import Database
from adapters.sql.user_repository import SqlUserRepository
from application.ports.user_repository import UserRepository
from support.clock import Clock
from support.interruptions import TrappedCluster, trapped_cluster
from support.places import SESSION_PLACES, TECHNOLOGIES, USER_PLACES, open_environment, unreachable_url_of
from support.sessions import Scenario


@pytest.fixture(scope="session", params=USER_PLACES)
def user_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of users: `memory`, or the URL of a migrated database."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="session", params=SESSION_PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of sessions: `memory`, or the URL of any kind of Redis, or of a migrated database."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="session")
def trapped() -> Iterator[TrappedCluster]:
    """A Redis Cluster whose masters stop answering when a test wants it."""
    with trapped_cluster() as started:
        yield started


@pytest.fixture(params=[name for name, each in TECHNOLOGIES.items() if each.unreachable_url])
def unreachable_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a server that does not exist."""
    return unreachable_url_of(request.param, tmp_path)


@pytest.fixture
async def users(user_place: str) -> AsyncIterator[UserRepository]:
    """The repository under test."""
    if user_place == "memory":
        yield MemoryUserRepository()
        return
    async with Database(user_place) as database:
        yield SqlUserRepository(database)


@pytest.fixture
async def scenario(session_place: str, clock: Clock) -> AsyncIterator[Scenario]:
    """The session store under test."""
    async with open_environment(session_place) as environment:
        yield Scenario(environment, clock)
