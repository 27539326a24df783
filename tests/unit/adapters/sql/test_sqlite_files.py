"""The permissions of the files of a SQLite database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.sql.database import Database
from adapters.sql.schema import migrate

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A umask with which all users may read new files."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    """Return the mode of each file."""
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def test_a_new_database_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    """Only the owner can read the files of a new database, because they contain users and session_keys."""
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}") as database:
        await migrate(database)
        await database.write(lambda connection: connection.execute(text("SELECT 1")))
        found = modes(tmp_path)

    assert found.keys() >= {"new.db", "new.db-wal", "new.db-shm"}
    assert set(found.values()) == {0o600}


async def test_an_existing_database_retains_its_mode(tmp_path: Path) -> None:
    """The mode of an existing database file does not change, because an operator has chosen it."""
    (tmp_path / "old.db").touch(0o640)
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'old.db'}") as database:
        await migrate(database)

        assert modes(tmp_path)["old.db"] == 0o640
