"""Check the schema of the database, and migrate it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from adapters.sql.database import Database
from domain.errors import StoreUnavailable

LOCK_NAME = "wxlogin-migrate"
LOCK_NUMBER = 0x77786C6F67696E  # "wxlogin"
LOCK_SECONDS = 3600


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


async def is_migrated(database: Database) -> bool:
    """Return whether all known migrations have run. Raises StoreUnavailable.

    True for a newer schema, too: an upgrade migrates first, and then restarts one host after the other.
    """
    scripts = ScriptDirectory.from_config(_config())
    current = await database.read(lambda connection: MigrationContext.configure(connection).get_current_revision())
    known = {script.revision for script in scripts.walk_revisions()}
    return current is not None and (current == scripts.get_current_head() or current not in known)


async def migrate(database: Database, to: str = "head") -> None:
    """Migrate to the newest schema, or to the revision `to`. Idempotent, and safe from several hosts at once.

    Raises StoreUnavailable.
    """
    await database.write_slowly(partial(_upgrade, to=to))


def _upgrade(connection: Connection, to: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    with _lock(connection):
        command.upgrade(config, to)


@contextmanager
def _lock(connection: Connection) -> Iterator[None]:
    """Hold a lock, so that one host migrates at a time. On SQLite the transaction, BEGIN IMMEDIATE, is the lock."""
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})")
            yield
        case "mysql" | "mariadb":
            if connection.exec_driver_sql(f"SELECT GET_LOCK('{LOCK_NAME}', {LOCK_SECONDS})").scalar() != 1:
                raise StoreUnavailable(f"Another host has been migrating for {LOCK_SECONDS} seconds")
            yield
            connection.exec_driver_sql("COMMIT")  # before the next one looks; after an error, closing lets go
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{LOCK_NAME}')")
        case _:
            yield


def differences(connection: Connection) -> list[Any]:
    """Return the differences between the database and the tables, for a test of the migrations."""
    from alembic.autogenerate import compare_metadata

    from adapters.sql.tables import metadata

    return list(compare_metadata(MigrationContext.configure(connection), metadata))
