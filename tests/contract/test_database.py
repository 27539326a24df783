"""How long a call to a database may take, whatever the server does, and what is left of one that took too long."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.sql.database import CALL_SECONDS, CONNECTIONS, Database
from domain.errors import StoreUnavailable
from support.faults import address_of_database
from support.proxy import How, Proxy, proxy
from support.servers import create_database

pytestmark = pytest.mark.anyio

SLACK_SECONDS = 0.8
"""For a machine that is busy with other tests."""

WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
}
"""How many statements wait for a lock."""


@pytest.fixture(params=["postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A new database on each kind of server."""
    return create_database(request.getfixturevalue(request.param))


@pytest.fixture
async def proxied(url: str) -> AsyncIterator[tuple[Database, Proxy]]:
    """A database, and what stands between."""
    with proxy(address_of_database(url)) as between:
        way = make_url(url).set(host="127.0.0.1", port=between.port).difference_update_query(["host"])
        async with Database(way.render_as_string(hide_password=False)) as database:
            yield database, between


async def ask(database: Database) -> float:
    """How long it takes, in seconds, until a call is given up."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await database.read(lambda connection: connection.execute(text("SELECT 1")))
    return time.monotonic() - began


@pytest.mark.parametrize("known", [0, 1, CONNECTIONS])
async def test_a_silent_database_is_given_up_in_time(proxied: tuple[Database, Proxy], known: int) -> None:
    """Nobody waits longer than CALL_SECONDS, whether there are connections already, or are to be made."""
    database, between = proxied
    await asyncio.gather(
        *(database.read(lambda connection: connection.execute(text("SELECT 1"))) for _ in range(known))
    )
    between.become(How.SILENT)

    assert max(await asyncio.gather(*(ask(database) for _ in range(CONNECTIONS + 5)))) < CALL_SECONDS + SLACK_SECONDS


async def test_a_call_that_is_given_up_is_not_left_waiting(url: str) -> None:
    """The server does not go on with a statement that waits for a lock when nobody waits for the statement."""
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
            while await other.scalar(waiting):  # noqa: ASYNC110  # a server tells nobody
                await asyncio.sleep(0.05)
    await engine.dispose()
