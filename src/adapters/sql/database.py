"""Connections, with every wait bounded and every failure translated."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

CALL_SECONDS = 5.0
"""The longest that one repository method may take, waiting for a connection included."""

ATTEMPTS = 3
"""How often work is tried when the database undid it to solve a deadlock, or hung up before it."""

CONNECT_ARGS: dict[str, dict[str, Any]] = {
    "postgresql": {"timeout": 2.0, "command_timeout": CALL_SECONDS},
    "mysql": {"connect_timeout": 2},
    "sqlite": {"timeout": CALL_SECONDS - 1},
}

UNDONE = {"40001", "40P01", "1205", "1213"}
"""SQLSTATE of PostgreSQL and error number of MySQL: serialization failure, deadlock, lock wait timeout."""


def create_engine(url: str) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite`, `postgresql+asyncpg` or `mysql+asyncmy`. Opens no connection."""
    backend = url.partition("+")[0]
    engine = create_async_engine(
        url,
        hide_parameters=True,
        connect_args=CONNECT_ARGS.get(backend, {}),
        pool_size=10,
        max_overflow=10,
        pool_timeout=CALL_SECONDS - 1,
        pool_use_lifo=True,
        pool_recycle=1800,
    )
    if backend == "sqlite":
        _prepare_sqlite(engine)
    return engine


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """Let readers pass a writer, and writers queue up instead of failing: https://www.sqlite.org/wal.html."""

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN is deferred, and deferred writers deadlock
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")


class ConstraintViolated(StoreUnavailable):
    """A constraint said no: somebody else was faster."""


class Database:
    """Runs work on a connection. Raises StoreUnavailable when that fails for the database's reasons."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Work[T]) -> T:
        """Run statements that need no transaction: no BEGIN, no ROLLBACK, two round trips less."""
        return await self._run(self._read_once, work)

    async def write(self, work: Work[T]) -> T:
        """Run one transaction. It may run several times. Raises ConstraintViolated too."""
        return await self._run(self._write_once, work)

    async def _read_once(self, work: Work[T]) -> T:
        async with self._autocommit.connect() as connection:
            return await work(connection)

    async def _write_once(self, work: Work[T]) -> T:
        async with self._engine.begin() as connection:
            return await work(connection)

    async def _run(self, once: Callable[[Work[T]], Awaitable[T]], work: Work[T]) -> T:
        with translated():
            async with asyncio.timeout(CALL_SECONDS):
                for _ in range(ATTEMPTS - 1):
                    try:
                        return await once(work)
                    except DBAPIError as error:
                        if not _may_be_repeated(error):
                            raise
                return await once(work)


@contextmanager
def translated() -> Iterator[None]:
    """Turns what SQLAlchemy and its drivers raise into StoreUnavailable."""
    try:
        yield
    except IntegrityError as error:
        raise ConstraintViolated("Two requests wrote the same at once; try again") from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"The database does not answer as it should ({type(error).__name__})") from error


def _may_be_repeated(error: DBAPIError) -> bool:
    number = str(error.orig.args[0]) if error.orig and error.orig.args else ""
    return error.connection_invalidated or {str(getattr(error.orig, "sqlstate", "")), number} & UNDONE != set()
