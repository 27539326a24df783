"""Run work on a database of any kind, with a time limit and with errors of this service."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from adapters.sql.async_pool import AsyncPool
from adapters.sql.connections import CALL_SECONDS, CLOSE_SECONDS, Connections, T, Work
from adapters.sql.sqlite import SqliteConnections
from domain.errors import StoreUnavailable

ATTEMPTS = 3
"""How often work is tried when it conflicts with another transaction, or its connection was closed before."""

RETRYABLE_ERRORS = {"40001", "40P01", "1205", "1213"}
"""SQLSTATE of PostgreSQL and error number of MySQL: serialization failure, deadlock, lock wait timeout."""

BATCH = 500
"""How many rows one transaction of a long job locks, so that others wait for milliseconds."""


class ConcurrentChange(Exception):
    """Another transaction changed what this one had read. Work raises it to be run again in a new transaction."""


class Database:
    """SQLite, PostgreSQL, MariaDB or MySQL, as the URL says. Opens connections when they are needed."""

    def __init__(self, url: str) -> None:
        self._connections: Connections = SqliteConnections(url) if url.startswith("sqlite") else AsyncPool(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._connections.close()

    def watch(self, used: Callable[[int], None]) -> int:
        """Call `used` with the number of connections in use, when it changes. Return the pool size."""
        taken: set[object] = set()

        def take(_: object, record: object, __: object) -> None:
            taken.add(record)
            used(len(taken))

        def give_back(_: object, record: object) -> None:
            taken.discard(record)  # also called for one that could not connect, and was not taken
            used(len(taken))

        for pool in self._connections.pools:
            event.listen(pool, "checkout", take)
            event.listen(pool, "checkin", give_back)
        return self._connections.size

    async def read(self, work: Work[T]) -> T:
        """Run statements that need no transaction. Raises StoreUnavailable."""
        if self._connections.reads_at_once:
            with map_database_errors():
                return await self._connections.read(work)
        return await self._bounded(self._connections.read, work)

    async def write(self, work: Work[T]) -> T:
        """Run work in one transaction. It may run several times. Raises StoreUnavailable."""
        return await self._bounded(self._connections.write, work)

    async def write_one(self, work: Work[T]) -> T:
        """Run one statement in autocommit, which saves three round trips. Raises StoreUnavailable."""
        return await self._bounded(self._connections.write_one, work)

    async def write_slowly(self, work: Work[T]) -> T:
        """Run work once in one transaction, without a time limit. Raises StoreUnavailable."""
        with map_database_errors():
            return await self._connections.write(work)

    async def empty_log(self) -> None:
        """Empty SQLite's write-ahead log, which has the pages from before a change.

        Does nothing while another connection reads the log, and on other databases. Raises StoreUnavailable.
        """
        with map_database_errors():
            async with asyncio.timeout(CALL_SECONDS - CLOSE_SECONDS):
                await self._connections.empty_log()

    async def _bounded(self, run: Any, work: Work[T]) -> T:
        with map_database_errors():
            async with asyncio.timeout(CALL_SECONDS - CLOSE_SECONDS):
                for _ in range(ATTEMPTS - 1):
                    try:
                        return await run(work)  # type: ignore[no-any-return]  # mypy has no generic callables
                    except (DBAPIError, ConcurrentChange) as error:
                        if not _may_be_repeated(error):
                            raise
                return await run(work)  # type: ignore[no-any-return]  # as above


@contextmanager
def map_database_errors() -> Iterator[None]:
    """Map the exceptions of SQLAlchemy and its drivers to StoreUnavailable."""
    try:
        yield
    except (IntegrityError, ConcurrentChange):  # the driver's text has the data: the log must not get it as the cause
        raise StoreUnavailable("A concurrent request wrote the same data; try again") from None
    except DataError as error:  # as above
        raise StoreUnavailable(f"The database does not take the data ({_kind(error)})") from None
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"The database does not answer as it should ({_kind(error)})") from error


def _kind(error: Exception) -> str:
    """Return the name of the driver's exception: InvalidCatalogNameError says more than DBAPIError."""
    original = getattr(error, "orig", None) or error
    return type(original.__cause__ or original).__name__


def _may_be_repeated(error: DBAPIError | ConcurrentChange) -> bool:
    if isinstance(error, (IntegrityError, ConcurrentChange)) or error.connection_invalidated:
        return True
    number = str(error.orig.args[0]) if error.orig and error.orig.args else ""
    return {str(getattr(error.orig, "sqlstate", "")), number} & RETRYABLE_ERRORS != set()
