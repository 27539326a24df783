"""Whether the database has the newest schema, and bringing it there."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from adapters.sql.database import Database

LOCK_NAME = "wxlogin-migrate"
LOCK_NUMBER = 0x77786C6F67696E  # "wxlogin"
LOCK_SECONDS = 60

# SQLite needs none: its transaction begins IMMEDIATE, which is one writer at a time. The others let go when the
# connection closes, whatever happens to its process.
LOCKS = {
    "postgresql": f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})",
    "mysql": f"SELECT GET_LOCK('{LOCK_NAME}', {LOCK_SECONDS})",
    "mariadb": f"SELECT GET_LOCK('{LOCK_NAME}', {LOCK_SECONDS})",
}
UNLOCKS = {"mysql": f"SELECT RELEASE_LOCK('{LOCK_NAME}')", "mariadb": f"SELECT RELEASE_LOCK('{LOCK_NAME}')"}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


async def is_migrated(database: Database) -> bool:
    """Whether every migration known here ran. Raises StoreUnavailable.

    A newer schema is fine: an upgrade migrates first, and then goes from host to host.
    """
    scripts = ScriptDirectory.from_config(_config())
    current = await database.read(lambda connection: MigrationContext.configure(connection).get_current_revision())
    known = {script.revision for script in scripts.walk_revisions()}
    return current is not None and (current == scripts.get_current_head() or current not in known)


async def migrate(database: Database) -> None:
    """Bring the schema to the newest version; safe to run twice, and from several hosts at once.

    Raises StoreUnavailable.
    """
    await database.write_slowly(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    dialect = connection.dialect.name
    if dialect in LOCKS:
        connection.exec_driver_sql(LOCKS[dialect])
    try:
        command.upgrade(config, "head")
    finally:
        if dialect in UNLOCKS:
            connection.exec_driver_sql(UNLOCKS[dialect])


def differences(connection: Connection) -> list[Any]:
    """What autogenerate would still change: nothing, when the migrations lead to the tables."""
    from alembic.autogenerate import compare_metadata

    from adapters.sql.tables import metadata

    return list(compare_metadata(MigrationContext.configure(connection), metadata))
