"""The places of users and sessions in contract tests. Every suite runs each technology that is registered here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import servers
from support.servers import find_mariadb, free_port
from support.stores import StoreEnvironment, database_environment, memory_environment, redis_environment
from support.twin import twin_environment

Find = Callable[[pytest.FixtureRequest, Path], str]
"""A function that returns a place: the URL of a running server, or of a file in a directory."""


@dataclass(frozen=True)
class Technology:
    """A technology that stores sessions. The URLs of its places start with `scheme`."""

    scheme: str
    find: Find
    open_environment: Callable[[str], AbstractAsyncContextManager[StoreEnvironment]]
    unreachable_url: Callable[[Path], str] | None = None
    """A function that returns the URL of a server that does not exist. None for a technology without a server."""
    durable: bool = True
    """Whether sessions survive the process."""
    stores_keys: bool = True
    """Whether session_keys are beside the sessions. If they are elsewhere, the suite of KeyVault leaves it out."""
    expires_by_itself: bool = False
    """Whether the server deletes data after its retention without a purge, by its own clock."""


def _redis(kind: str, unreachable_url: Callable[[Path], str]) -> Technology:
    fixture = f"{kind.replace('-', '_')}_url"
    return Technology(
        "redis",
        lambda request, _: str(request.getfixturevalue(fixture)),
        redis_environment,
        unreachable_url,
        expires_by_itself=True,
    )


def _database(scheme: str, find: Find, unreachable_url: Callable[[Path], str]) -> Technology:
    def find_migrated(request: pytest.FixtureRequest, directory: Path) -> str:
        url = find(request, directory)
        servers.migrate_database(url)
        return url

    return Technology(scheme, find_migrated, database_environment, unreachable_url)


REDIS_TECHNOLOGIES = {
    "redis": _redis("redis", lambda _: f"redis://127.0.0.1:{free_port()}/0"),
    "redis-cluster": _redis(
        "redis-cluster", lambda _: f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    ),
    "redis-sentinel": _redis(
        "redis-sentinel", lambda _: f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/master"
    ),
}

DATABASE_TECHNOLOGIES = {
    "sqlite": _database(
        "sqlite",
        lambda _, directory: servers.sqlite_url(directory),
        lambda directory: f"sqlite+aiosqlite:///{directory}/no/such/directory.db",
    ),
    "postgresql": _database(
        "postgresql",
        lambda request, _: servers.create_database(request.getfixturevalue("postgres")),
        lambda _: f"postgresql+asyncpg://user:password@127.0.0.1:{free_port()}/nowhere",
    ),
    "mariadb": _database(
        "mysql",
        lambda request, _: servers.create_database(request.getfixturevalue("mariadb")),
        lambda _: f"mysql+asyncmy://user:password@127.0.0.1:{free_port()}/nowhere",
    ),
}
if not find_mariadb():
    del DATABASE_TECHNOLOGIES["mariadb"]

TECHNOLOGIES: Mapping[str, Technology] = {
    "memory": Technology("memory", lambda *_: "memory", memory_environment, durable=False),
    "twin": Technology("twin", lambda *_: "twin", twin_environment, durable=False, stores_keys=False),
    **REDIS_TECHNOLOGIES,
    **DATABASE_TECHNOLOGIES,
}
"""The technologies that store sessions, by name."""

DATABASES = [*DATABASE_TECHNOLOGIES]
USER_PLACES = ["memory", *DATABASES]
IN_REDIS = ["redis", "redis-cluster"]
"""The master behind sentinels is an ordinary Redis, so tests of its records do not need a third run."""
SESSION_PLACES = [*TECHNOLOGIES]
KEY_PLACES = [name for name, each in TECHNOLOGIES.items() if each.stores_keys]
SHARED_PLACES = [*REDIS_TECHNOLOGIES, *DATABASES]
"""The places of what processes share beside sessions and session_keys."""
WITHOUT_SENTINEL = [name for name in SESSION_PLACES if name != "redis-sentinel"]


def technology_of(place: str) -> Technology:
    """Return the technology of a place."""
    return next(each for each in TECHNOLOGIES.values() if place.startswith(each.scheme))


def unreachable_url_of(name: str, directory: Path) -> str:
    """Return the URL of a server of the technology that does not exist."""
    unreachable_url = TECHNOLOGIES[name].unreachable_url
    assert unreachable_url
    return unreachable_url(directory)


def open_environment(place: str) -> AbstractAsyncContextManager[StoreEnvironment]:
    """Open the environment of sessions at a place."""
    return technology_of(place).open_environment(place)


def each_place(names: list[str]) -> pytest.MarkDecorator:
    """Run a test on these places of sessions only."""
    return pytest.mark.parametrize("session_place", names, indirect=True)


def each_unreachable(names: list[str]) -> pytest.MarkDecorator:
    """Run a test on the unreachable servers of these places only."""
    with_servers = [name for name in names if TECHNOLOGIES[name].unreachable_url]
    return pytest.mark.parametrize("unreachable_place", with_servers, indirect=True)


durable = each_place([name for name in WITHOUT_SENTINEL if TECHNOLOGIES[name].durable])
durable_keys = each_place([name for name in WITHOUT_SENTINEL if name in KEY_PLACES and TECHNOLOGIES[name].durable])
by_the_hosts_clock = each_place([name for name in WITHOUT_SENTINEL if not TECHNOLOGIES[name].expires_by_itself])
redis_and_cluster = each_place(IN_REDIS)
every_redis = each_place([*REDIS_TECHNOLOGIES])
durable_users = pytest.mark.parametrize("user_place", DATABASES, indirect=True)
