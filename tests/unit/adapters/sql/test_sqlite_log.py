"""SQLite's write-ahead log has what was erased until it is emptied, which waits for no one."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from adapters.sql.database import Database
from adapters.sql.schema import migrate
from adapters.sql.user_repository import SqlUserRepository
from domain.event import CLI
from domain.identity import AppId, Identity
from support.clock import Clock

pytestmark = pytest.mark.anyio

GENEROUS = 1.0
"""Seconds that a busy machine may take. SQLite would wait for two."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of the database."""
    return tmp_path / "wxlogin.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    """A database in the file."""
    async with Database(f"sqlite+aiosqlite:///{file}") as opened:
        await migrate(opened)
        yield opened


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Read the file while the block runs, as a backup does."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM users").fetchall()
        yield


@asynccontextmanager
async def measured() -> AsyncIterator[list[float]]:
    """Yield a list that has, after the block, the longest time in seconds for which the event loop did nothing else."""
    longest = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest[0] = max(longest[0], time.monotonic() - before)

    task = asyncio.create_task(tick())
    try:
        yield longest
    finally:
        task.cancel()
        await asyncio.wait([task])


async def erase_someone(database: Database, clock: Clock) -> bytes:
    """Create a user and erase them. Return what must not be left of them."""
    openid = f"o{secrets.token_hex(8)}"
    users = SqlUserRepository(database)
    user, _ = await users.find_or_create(Identity(AppId("wx0123456789abcdef"), openid), clock.now)
    await users.erase(user.id, clock.now, CLI)
    return openid.encode()


def bytes_of(file: Path) -> bytes:
    """Return the bytes of the file, and of those beside it."""
    return b"".join(each.read_bytes() for each in file.parent.iterdir())


async def test_an_erasure_leaves_an_empty_log(database: Database, file: Path, clock: Clock) -> None:
    """After an erasure, neither the file nor the log has a byte of the user."""
    openid = await erase_someone(database, clock)

    assert openid not in bytes_of(file)


async def test_an_erasure_waits_for_no_reader(database: Database, file: Path, clock: Clock) -> None:
    """While another process reads the file, an erasure ends at once, and the event loop does not stand still."""
    begun = time.monotonic()
    with reading(file):
        async with measured() as longest:
            await erase_someone(database, clock)
    taken = time.monotonic() - begun

    assert taken < GENEROUS
    assert longest[0] < GENEROUS


async def test_a_log_that_was_read_is_emptied_later(database: Database, file: Path, clock: Clock) -> None:
    """While the file is read, the log is not emptied, and nothing waits for it. Afterwards, it is."""
    with reading(file):
        openid = await erase_someone(database, clock)
        await database.empty_log()
        before = bytes_of(file)
    await database.empty_log()

    assert openid in before
    assert openid not in bytes_of(file)


async def test_writers_go_on_after_a_log_that_was_read(database: Database, file: Path, clock: Clock) -> None:
    """An attempt to empty the log that fails leaves reads and writes as they were."""
    with reading(file):
        await asyncio.gather(*(erase_someone(database, clock) for _ in range(20)))
    openids = await asyncio.gather(*(erase_someone(database, clock) for _ in range(20)))
    left = bytes_of(file)

    assert [openid for openid in openids if openid in left] == []
