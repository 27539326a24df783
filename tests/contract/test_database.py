"""The time limit of database calls, and the state after a call that exceeds it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.sql.async_pool import MAX_CONNECTIONS
from adapters.sql.connections import CALL_SECONDS
from adapters.sql.database import Database
from domain.errors import StoreUnavailable
from support.faults import address_of_database
from support.proxy import How, Proxy, proxy
from support.servers import create_database, find_mariadb, sqlite_url

pytestmark = pytest.mark.anyio

SLACK_SECONDS = 0.8
"""Allowance for a machine that is busy with other tests."""

SERVERS = ["postgres", *(["mariadb"] if find_mariadb() else [])]

WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}
"""A query of the number of statements that wait for a lock."""


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Select uvloop, on which the service runs and which has its own failures."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a new database on each kind of server."""
    return create_database(request.getfixturevalue(request.param))


@pytest.fixture(params=["sqlite", *SERVERS])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database of each kind, SQLite included."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    return create_database(request.getfixturevalue(request.param))


@pytest.fixture
async def proxied(url: str) -> AsyncIterator[tuple[Database, Proxy]]:
    """A database, and the proxy before it."""
    with proxy(address_of_database(url)) as between:
        way = make_url(url).set(host="127.0.0.1", port=between.port).difference_update_query(["host"])
        async with Database(way.render_as_string(hide_password=False)) as database:
            yield database, between


def ping(connection: Connection) -> None:
    """Run a minimal statement."""
    connection.execute(text("SELECT 1"))


async def fail(call: Awaitable[None]) -> float:
    """Return how many seconds a call takes until it raises StoreUnavailable."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await call
    return time.monotonic() - began


@pytest.mark.parametrize("how", [How.REFUSING, How.RESETTING, How.CUT])
async def test_a_failing_database_is_unavailable_until_it_recovers(proxied: tuple[Database, Proxy], how: How) -> None:
    """When connections in use fail, a call raises only StoreUnavailable, and later calls succeed."""
    database, between = proxied
    calls = [database.read, database.write] * (MAX_CONNECTIONS // 2)
    await asyncio.gather(*(call(ping) for call in calls))
    for _ in range(2):
        between.become(how)
        await asyncio.gather(*(fail(call(ping)) for call in calls))
        between.become(How.PASSING)
        await asyncio.gather(*(call(ping) for call in calls))


async def test_the_number_of_connections_in_use_is_right_after_an_outage(proxied: tuple[Database, Proxy]) -> None:
    """Connections that could not be opened are not counted as returned: the number is never below 0, and 0 at rest."""
    database, between = proxied
    numbers: list[int] = []
    size = database.watch(numbers.append)
    await database.read(ping)
    for how in (How.REFUSING, How.SILENT):
        between.become(how)
        await asyncio.gather(*(fail(database.read(ping)) for _ in range(10)))
        between.become(How.PASSING)
        await asyncio.gather(*(database.read(ping) for _ in range(10)))

    assert min(numbers) == numbers[-1] == 0
    assert 0 < max(numbers) <= size


@pytest.mark.parametrize("known", [0, 1, MAX_CONNECTIONS])
async def test_a_call_to_a_silent_database_times_out(proxied: tuple[Database, Proxy], known: int) -> None:
    """No call waits longer than CALL_SECONDS, with open connections or with new ones."""
    database, between = proxied
    await asyncio.gather(*(database.read(ping) for _ in range(known)))
    between.become(How.SILENT)
    waits = await asyncio.gather(*(fail(database.read(ping)) for _ in range(MAX_CONNECTIONS + 5)))

    assert max(waits) < CALL_SECONDS + SLACK_SECONDS


def write_things(connection: Connection, numbers: Sequence[int]) -> None:
    """Insert one row for each number. A duplicate number fails."""
    for number in numbers:
        connection.execute(text("INSERT INTO things VALUES (:number)"), {"number": number})


async def things(database: Database) -> set[int]:
    """Return the inserted numbers."""
    return set(await database.read(lambda connection: connection.execute(text("SELECT id FROM things")).scalars()))


@pytest.fixture
async def database(any_url: str) -> AsyncIterator[Database]:
    """A database with a table of things."""
    async with Database(any_url) as database:
        create = text("CREATE TABLE things (id INTEGER PRIMARY KEY)")
        await database.write(lambda connection: connection.execute(create) and None)
        yield database


async def test_a_failed_write_stores_nothing(database: Database) -> None:
    """A write that fails halfway stores nothing. A write that succeeds stores everything."""
    await fail(database.write(lambda connection: write_things(connection, [1, 2, 1])))
    await database.write(lambda connection: write_things(connection, [3, 4]))

    assert await things(database) == {3, 4}


async def test_concurrent_writes_fail_independently(database: Database) -> None:
    """Of many concurrent writes, each is stored completely or raises an error to its caller."""
    writes = [(number, 100 + number, *([number] if number % 7 == 3 else [])) for number in range(50)]
    told = await asyncio.gather(
        *(database.write(partial(write_things, numbers=numbers)) for numbers in writes), return_exceptions=True
    )
    failed = [numbers for numbers, outcome in zip(writes, told, strict=True) if isinstance(outcome, StoreUnavailable)]

    assert failed == [numbers for numbers in writes if len(numbers) > 2]
    assert await things(database) == {number for numbers in writes if numbers not in failed for number in numbers}


async def test_a_timed_out_statement_does_not_stay_on_the_server(url: str) -> None:
    """After a caller stops waiting, the server also stops the statement that waits for a lock."""
    locked = text("SELECT id FROM things FOR UPDATE")
    engine = create_async_engine(url)
    async with Database(url) as database, engine.connect() as other:
        await other.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        await other.execute(text("INSERT INTO things VALUES (1)"))
        await other.commit()
        await other.execute(locked)
        with pytest.raises(StoreUnavailable):
            await database.write(lambda connection: connection.execute(locked))
        waiting = text(WAITING[engine.dialect.name])
        async with asyncio.timeout(CALL_SECONDS):
            while await other.scalar(waiting):  # noqa: ASYNC110  # a server sends no notification
                await asyncio.sleep(0.2)  # MariaDB refreshes its answer only after 0.1 seconds without a query
    await engine.dispose()
