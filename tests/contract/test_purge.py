"""A purge of more than one transaction's rows, on every database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from operator import methodcaller

import pytest
from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Connection, func, insert, select

from adapters.crypto.ciphers import FernetCipher
from adapters.sql.database import BATCH, Database
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.tables import session_keys, sessions
from adapters.sql.user_repository import SqlUserRepository
from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP = AppId("wx0000000000000001")
ROWS = 3 * BATCH + 1


class World:
    """A store with one live session and its key, and many of both that are forgotten."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqlSessionStore(
            database, SqlKeyVault(database, FernetCipher(MultiFernet([Fernet(Fernet.generate_key())])))
        )

    async def fill(self, clock: Clock) -> Session:
        """Keep them all, and give back the live one."""
        identity = Identity(APP, "oLive")
        user, _ = await SqlUserRepository(self.database).find_or_create(identity, clock.now)
        live = Session.start(SessionToken.generate(), user.id, identity, UNKNOWN_DEVICE, SessionPolicy(), clock.now)
        await self.store.start(live, SessionKey("a key"), 0)
        await self.database.write(lambda connection: self._forget(connection, clock))
        return live

    def _forget(self, connection: Connection, clock: Clock) -> None:
        for table, names in ((sessions, ["id"]), (session_keys, ["appid", "openid"])):
            row = dict(connection.execute(select(table)).one()._mapping)
            moments = [clock.now - timedelta(minutes=number // 2) for number in range(ROWS)]
            rows = [row | dict.fromkeys(names, f"{n:032}") | {"forget_at": at} for n, at in enumerate(moments)]
            connection.execute(insert(table), rows)

    async def left(self) -> tuple[int | None, int | None]:
        """How many sessions and keys there are."""
        counts = [select(func.count()).select_from(table) for table in (sessions, session_keys)]
        first, second = [await self.database.read(methodcaller("scalar", count)) for count in counts]
        return first, second


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A database of each kind."""
    async with Database(database_url) as database:
        yield World(database)


async def test_all_that_is_forgotten_goes(world: World, clock: Clock) -> None:
    """Sessions and session_keys that are forgotten go, however many there are, and none that lives."""
    live = await world.fill(clock)

    assert await world.left() == (ROWS + 1, ROWS + 1)
    assert await world.store.purge(clock.now) == ROWS
    assert await world.left() == (1, 1)
    assert await world.store.find(live.id) == live
    assert await world.store.purge(clock.now) == 0


async def test_several_purge_at_once(world: World, database_url: str, clock: Clock) -> None:
    """Processes that purge at the same time harm nobody: each session goes once, and is counted once."""
    await world.fill(clock)
    async with Database(database_url) as database:
        purges = [each.store.purge(clock.now) for each in (world, World(database), World(database))]

        assert sum(await asyncio.gather(*purges)) == ROWS
    assert await world.left() == (1, 1)


async def test_a_purge_lets_others_in(world: World, clock: Clock) -> None:
    """Writes that come while much is purged do not wait for the end of the purge."""
    live = await world.fill(clock)
    touched = live.touch(SessionPolicy(), clock.now)
    await asyncio.gather(*(world.store.touch(touched) for _ in range(2)))  # each opens its connection
    purge = asyncio.create_task(world.store.purge(clock.now))
    writes = 0
    while not purge.done():
        await world.store.touch(touched)
        writes += 1

    assert writes > 1
    assert await purge == ROWS
