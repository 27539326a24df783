"""A purge of more rows than one transaction deletes, on every database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from operator import methodcaller

import pytest
from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Connection, func, insert, select, update

from adapters.crypto.ciphers import FernetCipher
from adapters.sql.database import BATCH, Database
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_events import SqlSessionEvents
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.tables import session_keys, sessions
from adapters.sql.user_repository import SqlUserRepository
from domain.device import UNKNOWN_DEVICE
from domain.event import CLI, Event, EventPolicy, EventType
from domain.identity import AppId, Identity
from domain.session import EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP = AppId("wx0000000000000001")
ROWS = 3 * BATCH + 1


class Scenario:
    """A store with one live session and its key, and with many sessions and keys whose retention is over."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.vault = SqlKeyVault(database, FernetCipher(MultiFernet([Fernet(Fernet.generate_key())])))
        self.store = SqlSessionStore(database, self.vault)

    async def start(self, store: SqlSessionStore, clock: Clock) -> Session:
        """Start a session at a store, and return it."""
        identity = Identity(APP, "oLive")
        user, _ = await SqlUserRepository(self.database).find_or_create(identity, clock.now)
        live = Session.start(SessionToken.generate(), user.id, identity, UNKNOWN_DEVICE, SessionPolicy(), clock.now)
        await store.start(live, SessionKey("a key"), 0)
        return live

    async def fill(self, clock: Clock) -> Session:
        """Store all sessions and keys, and return the live session."""
        live = await self.start(self.store, clock)
        await self.database.write(lambda connection: self._insert_old_rows(connection, clock))
        return live

    def _insert_old_rows(self, connection: Connection, clock: Clock) -> None:
        for table, names in ((sessions, ["id"]), (session_keys, ["appid", "openid"])):
            row = dict(connection.execute(select(table)).one()._mapping)
            moments = [clock.now - timedelta(minutes=number // 2) for number in range(ROWS)]
            rows = [row | dict.fromkeys(names, f"{n:032}") | {"retain_until": at} for n, at in enumerate(moments)]
            connection.execute(insert(table), rows)

    async def count_rows(self) -> tuple[int | None, int | None]:
        """Return the numbers of stored sessions and keys."""
        counts = [select(func.count()).select_from(table) for table in (sessions, session_keys)]
        first, second = [await self.database.read(methodcaller("scalar", count)) for count in counts]
        return first, second


@pytest.fixture
async def scenario(database_url: str) -> AsyncIterator[Scenario]:
    """A store on a database of each kind."""
    async with Database(database_url) as database:
        yield Scenario(database)


async def test_a_purge_deletes_all_whose_retention_is_over(scenario: Scenario, clock: Clock) -> None:
    """A purge deletes all sessions and session_keys whose retention is over, and no live one."""
    live = await scenario.fill(clock)

    assert await scenario.count_rows() == (ROWS + 1, ROWS + 1)
    assert await scenario.store.purge(clock.now) == ROWS
    assert await scenario.count_rows() == (1, 1)
    assert await scenario.store.find(live.id) == live
    assert await scenario.store.purge(clock.now) == 0


async def test_concurrent_purges_delete_each_session_once(scenario: Scenario, database_url: str, clock: Clock) -> None:
    """Concurrent purges do not disturb each other: each session is deleted once and counted once."""
    await scenario.fill(clock)
    async with Database(database_url) as database:
        purges = [each.store.purge(clock.now) for each in (scenario, Scenario(database), Scenario(database))]

        assert sum(await asyncio.gather(*purges)) == ROWS
    assert await scenario.count_rows() == (1, 1)


async def test_a_purge_does_not_block_writes(scenario: Scenario, clock: Clock) -> None:
    """Writes during a long purge do not wait for its end."""
    live = await scenario.fill(clock)
    touched = live.touch(SessionPolicy(), clock.now)
    await asyncio.gather(*(scenario.store.touch(touched) for _ in range(2)))  # each opens its own connection
    purge = asyncio.create_task(scenario.store.purge(clock.now))
    writes = 0
    while not purge.done():
        await scenario.store.touch(touched)
        writes += 1

    assert writes > 1
    assert await purge == ROWS


async def test_events_that_were_not_relayed_outlive_the_retention(scenario: Scenario, clock: Clock) -> None:
    """A purge leaves a session whose events were not relayed, and the next purge after the relay deletes it."""
    store = SqlSessionStore(scenario.database, scenario.vault, EventPolicy(audit_sessions=True))
    session = await scenario.start(store, clock)
    await store.end([session], EndReason.ENDED, clock.now, CLI)
    clock.advance(days=365)
    before = await store.purge(clock.now)
    relayed: list[Event] = []

    async def add(events: Sequence[Event]) -> None:
        relayed.extend(events)

    await SqlSessionEvents(scenario.database).relay(add)

    assert before == 0
    assert [event.type for event in relayed] == [EventType.SESSION_STARTED, EventType.SESSION_ENDED]
    assert await store.purge(clock.now) == 1
    assert await scenario.count_rows() == (0, 0)


async def test_a_purge_passes_sessions_with_events_that_were_not_relayed(scenario: Scenario, clock: Clock) -> None:
    """Any number of sessions with events that were not relayed hold up the deletion of no other."""
    await scenario.fill(clock)
    old = sessions.c.retain_until <= clock.now - timedelta(minutes=BATCH)
    marked = update(sessions).where(old).values(has_events=1)
    await scenario.database.write(lambda connection: connection.execute(marked).rowcount)

    assert await scenario.store.purge(clock.now) == 2 * BATCH
    assert await scenario.count_rows() == (BATCH + 2, 1)
