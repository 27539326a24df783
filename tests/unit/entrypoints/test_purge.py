"""The purge that the service runs by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from dependency_injector import providers
from structlog.testing import capture_logs

from adapters.memory.session_store import MemorySessionStore
from adapters.sql.schema import migrate
from application.ports.session_store import SessionStore
from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from entrypoints import purge
from entrypoints.container import Container, open_container
from entrypoints.http.app import create_app
from entrypoints.purge import purging
from entrypoints.settings import Settings
from support.clock import Clock
from support.processes import APPID, KEY, SECRET

pytestmark = pytest.mark.anyio


@pytest.fixture
async def container(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Container]:
    """A container on a database without tables, with a purge every few milliseconds."""
    for name in ("PERIOD_SECONDS", "LOG_PERIOD_SECONDS"):
        monkeypatch.setattr(purge, name, 0.005)
    given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY}
    given["database_url"] = f"sqlite+aiosqlite:///{tmp_path / 'wxlogin.db'}"
    async with open_container(Settings.model_validate(given), clock=clock) as opened:
        yield opened


@pytest.fixture
def store(container: Container) -> MemorySessionStore:
    """A session store in memory in place of the database's."""
    store = MemorySessionStore()
    container.sql_session_store.override(providers.Object(store))
    return store


async def start(store: SessionStore, clock: Clock, user_id: str = "ann") -> Session:
    """Start a session now, and return it."""
    identity = Identity(AppId(APPID), "oAnn")
    session = Session.start(SessionToken.generate(), user_id, identity, UNKNOWN_DEVICE, SessionPolicy(), clock.now)
    await store.start(session, SessionKey("a key"), 0)
    return session


async def is_deleted(store: SessionStore, session: Session) -> bool:
    """Return whether the session is deleted within a few seconds."""
    for _ in range(500):
        if await store.find(session.id) is None:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_purge_is_repeated(container: Container, store: MemorySessionStore, clock: Clock) -> None:
    """During the block, each session is deleted soon after its retention is over, and a live one stays."""
    async with purging(container):
        for _ in range(2):
            session = await start(store, clock)
            clock.advance(days=14)
            live = await start(store, clock)

            assert await is_deleted(store, session)
            assert await store.find(live.id) == live


async def test_sessions_outside_the_database_are_purged_too(
    container: Container, store: MemorySessionStore, clock: Clock
) -> None:
    """With sessions in another store, the purge deletes those in it and those that stayed in the database."""
    elsewhere = MemorySessionStore()
    container.session_store.override(providers.Object(elsewhere))
    old = [(each, await start(each, clock)) for each in (store, elsewhere)]
    clock.advance(days=14)
    async with purging(container):
        for each, session in old:
            assert await is_deleted(each, session)


async def test_the_purge_stops_with_its_block(container: Container) -> None:
    """The purges of sessions, grants, the audit trail, failed logins and SQLite's log end with the block."""
    before = asyncio.all_tasks()
    async with purging(container):
        assert len(asyncio.all_tasks() - before) == 5

    assert asyncio.all_tasks() == before


async def test_the_log_of_sqlite_is_emptied(container: Container, tmp_path: Path) -> None:
    """During the block, SQLite's write-ahead log is emptied soon."""
    await migrate(container.database())
    log = tmp_path / "wxlogin.db-wal"
    before = log.stat().st_size
    async with purging(container), asyncio.timeout(20):
        while log.stat().st_size:  # noqa: ASYNC110  # a file sends no notification
            await asyncio.sleep(0.01)

    assert before


async def test_a_purge_that_fails_is_tried_again(container: Container, clock: Clock) -> None:
    """A purge that fails is logged and repeated, and succeeds when the database works."""
    store = container.sql_session_store()
    with capture_logs() as logged:
        async with purging(container):
            while not logged:  # noqa: ASYNC110  # a list sends no notification
                await asyncio.sleep(0.01)
            await migrate(container.database())
            user, _ = await container.user_repository().find_or_create(Identity(AppId(APPID), "oAnn"), clock.now)
            session = await start(store, clock, user.id)
            clock.advance(days=14)

            assert await is_deleted(store, session)
    assert (logged[0]["event"], logged[0]["where"]) == ("store_unavailable", "purge")


async def test_a_service_purges_while_it_serves(container: Container, store: MemorySessionStore, clock: Clock) -> None:
    """A service deletes sessions whose retention is over while it runs."""
    session = await start(store, clock)
    clock.advance(days=14)

    async with create_app(lambda: nullcontext(container)).lifespan():
        assert await is_deleted(store, session)
