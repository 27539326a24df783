"""The schema, on every kind of database."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, inspect, text

from adapters.sql.database import Database
from adapters.sql.schema import differences, is_migrated, migrate
from adapters.sql.tables import metadata

HOSTS = 4
FIRST_RELEASE = "0006"
"""The newest migration of the first release."""
INSERT_USER = """
    INSERT INTO users (id, name, avatar, language, province, city, country, created_at, updated_at)
    VALUES ('ann', '', '', '', '', '', '', '2026-03-01 12:00:00', '2026-03-01 12:00:00')
"""
INSERT_SESSION = """
    INSERT INTO sessions (id, user_id, appid, openid, sealed_key,
                          created_at, last_seen_at, idle_expires_at, expires_at, forget_at)
    VALUES ('{number}', 'ann', 'wx1', 'oAnn', {key},
            '2026-03-01 12:00:0{number}', '2026-03-01 12:00:09', '2026-03-08 12:00:00',
            '2026-03-31 12:00:00', '2026-04-07 12:00:00')
"""

pytestmark = pytest.mark.anyio


@pytest.fixture
def slow_commits() -> Iterator[None]:
    """A network that delays each COMMIT."""

    def wait(_connection: Connection) -> None:
        time.sleep(0.2)

    event.listen(Engine, "commit", wait)
    yield
    event.remove(Engine, "commit", wait)


async def execute(database: Database, statement: str) -> None:
    """Run a statement that returns no rows."""

    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    await database.write(work)


async def revisions(database: Database) -> list[Any]:
    """Return the revisions that the database has. A correct database has exactly one."""
    return list(await database.read(lambda connection: connection.scalars(text("SELECT * FROM alembic_version")).all()))


async def migrate_once(url: str) -> None:
    """Migrate as `wxlogin migrate` does on one host."""
    async with Database(url) as database:
        await migrate(database)


async def migrate_on_many_hosts(url: str) -> None:
    """Migrate concurrently from threads that each have their own event loop and pool, as processes have."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(HOSTS) as hosts:
        await asyncio.gather(*(loop.run_in_executor(hosts, asyncio.run, migrate_once(url)) for _ in range(HOSTS)))


async def assert_newest(url: str) -> None:
    """Fail unless the database has the newest schema and one revision."""
    async with Database(url) as database:
        assert await database.read(differences) == []
        assert await is_migrated(database)
        assert len(await revisions(database)) == 1


async def test_an_empty_database_is_migrated(empty_database_url: str) -> None:
    """A migration creates exactly the tables of the code in an empty database."""
    await migrate_once(empty_database_url)

    await assert_newest(empty_database_url)


async def test_a_second_migration_changes_nothing(empty_database_url: str) -> None:
    """A second migration succeeds, changes nothing and deletes no data."""
    async with Database(empty_database_url) as database:
        await migrate(database)
        await execute(database, INSERT_USER)
        await migrate(database)

        assert await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM users"))) == 1

    await assert_newest(empty_database_url)


async def test_many_hosts_migrate_at_once(empty_database_url: str) -> None:
    """Four hosts that migrate an empty database at the same time all succeed."""
    await migrate_on_many_hosts(empty_database_url)

    await assert_newest(empty_database_url)


@pytest.mark.usefixtures("slow_commits")
async def test_many_hosts_migrate_at_once_over_a_slow_network(empty_database_url: str) -> None:
    """Each host waits until the host before it has committed."""
    await migrate_on_many_hosts(empty_database_url)

    await assert_newest(empty_database_url)


async def test_an_empty_database_is_not_migrated(empty_database_url: str) -> None:
    """A database counts as migrated after its migration, and not before."""
    async with Database(empty_database_url) as database:
        before = await is_migrated(database)
        await migrate(database)

        assert not before
        assert await is_migrated(database)


async def test_a_newer_schema_counts_as_migrated(database_url: str) -> None:
    """A schema of a newer version counts as migrated, so that this version continues until it is replaced."""
    async with Database(database_url) as database:
        await execute(database, "UPDATE alembic_version SET version_num = '9999'")

        assert await is_migrated(database)


async def test_a_database_without_a_revision_is_not_migrated(database_url: str) -> None:
    """A database whose revision is missing does not count as migrated."""
    async with Database(database_url) as database:
        await execute(database, "DELETE FROM alembic_version")

        assert not await is_migrated(database)


async def test_every_missing_table_and_index_is_a_difference(empty_database_url: str) -> None:
    """The comparison of tables finds every missing table and index."""
    async with Database(empty_database_url) as database:
        found = await database.read(differences)
    missing = {change[0]: {c[1].name for c in found if c[0] == change[0]} for change in found}

    assert missing["add_table"] == set(metadata.tables)
    assert missing["add_index"] == {index.name for table in metadata.tables.values() for index in table.indexes}


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("ALTER TABLE users DROP COLUMN city", "add_column"),
        ("ALTER TABLE users ADD COLUMN forgotten INTEGER", "remove_column"),
        ("CREATE INDEX ix_forgotten ON sessions (openid)", "remove_index"),
    ],
)
async def test_a_changed_table_is_a_difference(database_url: str, statement: str, kind: str) -> None:
    """The comparison of tables finds a missing column, and an extra column or index."""
    async with Database(database_url) as database:
        await execute(database, statement)

        assert [change[0] for change in await database.read(differences)] == [kind]


def columns_of(connection: Connection) -> dict[str, tuple[str, bool, bool]]:
    """Return each column's type, whether it may be null, and whether it has a default."""
    inspector = inspect(connection)
    return {
        f"{table}.{column['name']}": (str(column["type"]), column["nullable"], column["default"] is not None)
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }


async def test_migrations_only_add(empty_database_url: str) -> None:
    """After the first release, a migration changes and drops no column, and the release before need not know the new.

    So the release before serves on the new schema, and a rollback needs no migration.
    """
    async with Database(empty_database_url) as database:
        await migrate(database, FIRST_RELEASE)
        before = await database.read(columns_of)
        await migrate(database)
        after = await database.read(columns_of)
    tables = {column.partition(".")[0] for column in before}
    added = {column: after[column] for column in after.keys() - before.keys() if column.partition(".")[0] in tables}

    assert {column: after.get(column) for column in before} == before
    assert [column for column, (_, nullable, has_default) in added.items() if not nullable and not has_default] == []


async def test_a_migration_retains_the_newest_key_of_an_account(empty_database_url: str) -> None:
    """A migration from the first schema retains each account's newest session_key and its sessions."""
    async with Database(empty_database_url) as database:
        await migrate(database, to="0001")
        await execute(database, INSERT_USER)
        for number, key in enumerate(["'old'", "'new'", "NULL"]):
            await execute(database, INSERT_SESSION.format(number=number, key=key))
        await migrate(database)
        keys = await database.read(lambda connection: connection.execute(text("SELECT * FROM session_keys")).all())
        count = await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM sessions")))

    assert [(row.appid, row.openid, row.current) for row in keys] == [("wx1", "oAnn", "new")]
    assert count == 3
