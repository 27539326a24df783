"""Connections, with every wait bounded and every failure translated."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import Pool, QueuePool

from domain.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Statements that belong together. It blocks, or seems to: a greenlet or a thread waits in its place."""

CALL_SECONDS = 3.0
"""The longest that one repository method may take, waiting for a connection and giving one up included."""

CLOSE_SECONDS = 0.5
"""How much of it is for the server to stop what it is doing, when a call took too long."""

ATTEMPTS = 3
"""How often work is tried when the database undid it to solve a deadlock, or hung up before it."""

UNDONE = {"40001", "40P01", "1205", "1213"}
"""SQLSTATE of PostgreSQL and error number of MySQL: serialization failure, deadlock, lock wait timeout."""

BATCH = 500
"""How many rows one transaction of a long job takes: who wants one of them waits for milliseconds."""

CONNECTIONS = 20

CONNECT_SECONDS = 2
LOCK_SECONDS = 2


class ConstraintViolated(StoreUnavailable):
    """A constraint said no: somebody else was faster."""


class Connections(Protocol):
    """A pool or two, and how work gets onto one of their connections."""

    pools: Sequence[Pool]
    size: int
    reads_at_once: bool
    """Whether reading waits for nothing, so that there is nothing to put a limit to."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Run it without a transaction: no BEGIN and no ROLLBACK, two round trips less."""

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Run it in a transaction."""

    @abstractmethod
    async def close(self) -> None:
        """Close the pool."""


class Database:
    """Runs work on SQLite, PostgreSQL, MariaDB or MySQL, as the URL says. Opens no connection before it is needed."""

    def __init__(self, url: str) -> None:
        self._connections: Connections = SqliteConnections(url) if url.startswith("sqlite") else AsyncPool(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._connections.close()

    def watch(self, used: Callable[[int], None]) -> int:
        """Call `used` with 1 when a connection is taken and with -1 when it comes back; say how many there may be."""
        for pool in self._connections.pools:
            event.listen(pool, "checkout", lambda *_: used(1))
            event.listen(pool, "checkin", lambda *_: used(-1))
        return self._connections.size

    async def read(self, work: Work[T]) -> T:
        """Run statements that need no transaction. Raises StoreUnavailable."""
        if self._connections.reads_at_once:
            with translated():
                return await self._connections.read(work)
        return await self._bounded(self._connections.read, work)

    async def write(self, work: Work[T]) -> T:
        """Run one transaction; the work may run several times. Raises StoreUnavailable and ConstraintViolated."""
        return await self._bounded(self._connections.write, work)

    async def write_slowly(self, work: Work[T]) -> T:
        """Run one transaction, once, however long it takes. Raises StoreUnavailable and ConstraintViolated."""
        with translated():
            return await self._connections.write(work)

    async def _bounded(self, run: Any, work: Work[T]) -> T:
        with translated():
            async with asyncio.timeout(CALL_SECONDS - CLOSE_SECONDS):
                for _ in range(ATTEMPTS - 1):
                    try:
                        return await run(work)  # type: ignore[no-any-return]  # mypy has no generic callables
                    except DBAPIError as error:
                        if not _may_be_repeated(error):
                            raise
                return await run(work)  # type: ignore[no-any-return]  # as above


class AsyncPool(Connections):
    """Connections of an asyncio driver.

    The pool never overflows: SQLAlchemy closes what overflows as soon as it is idle, and connecting costs more than a
    query.
    """

    reads_at_once = False

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(
            url,
            hide_parameters=True,
            connect_args=_connect_args(url),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=CALL_SECONDS - 1,
            pool_use_lifo=True,
            pool_recycle=1800,
        )
        self._reader, self._writer = _ways(self._engine)
        self.pools = [self._engine.pool]
        self.size = CONNECTIONS

    async def read(self, work: Work[T]) -> T:
        """See Connections."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        """See Connections."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """See Connections."""
        await self._engine.dispose()


def _ways(engine: AsyncEngine) -> tuple[AsyncEngine, AsyncEngine]:
    """How to read and how to write.

    For asyncpg autocommit is a word to itself. MySQL has to be told, in round trips whose failure SQLAlchemy does not
    expect: so it is always on there, and a transaction is begun in so many words.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="AUTOCOMMIT"), engine
    writer = engine.execution_options()
    event.listen(writer.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine, writer


def _connect_args(url: str) -> dict[str, Any]:
    """What the driver is told, which takes long to load, so that only who needs it does."""
    if url.startswith("postgresql"):
        from adapters.sql.postgresql import SoonClosed

        return {"timeout": CONNECT_SECONDS, "connection_class": SoonClosed}
    from adapters.sql.mysql import connect

    bound = f"SET innodb_lock_wait_timeout = {LOCK_SECONDS}"  # nothing else ends a wait that the client gave up
    return {
        "async_creator_fn": connect,
        "connect_timeout": CONNECT_SECONDS,
        "init_command": bound,
        "autocommit": True,
    }


class SqliteConnections(Connections):
    """One connection that reads, on the event loop, and one that writes, in a thread of its own.

    A row by its key is there in less time than a hop to a thread and back costs, and no writer is ever in its way
    (https://www.sqlite.org/wal.html). SQLite lets one writer in at a time: a queue in front of one thread is fair,
    which SQLite's own waiting is not.
    """

    reads_at_once = True

    def __init__(self, url: str) -> None:
        file = url.replace("+aiosqlite", "", 1)
        self._reader = _sqlite_engine(file, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        self._reading: Connection | None = None
        self._writer = _sqlite_engine(file)
        event.listen(self._writer, "begin", _begin_immediate)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self.pools = [self._writer.pool]  # the reader's only connection is always out
        self.size = len(self.pools)

    async def read(self, work: Work[T]) -> T:
        """See Connections."""
        if self._reading is None:
            self._reading = self._reader.connect()
        try:
            return work(self._reading)
        except BaseException:
            self._stop_reading()
            raise

    async def write(self, work: Work[T]) -> T:
        """See Connections."""
        return await self._in_thread(lambda: self._write(work))

    def _write(self, work: Work[T]) -> T:
        with self._writer.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        """Close each connection where it was opened, and end the thread."""
        self._stop_reading()
        self._reader.dispose()
        await self._in_thread(self._writer.dispose)
        self._thread.shutdown()

    def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading:
            reading.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _sqlite_engine(url: str, **options: Any) -> Engine:
    connect_args = {"timeout": CALL_SECONDS - 1}
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args=connect_args,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        **options,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Let readers pass a writer (https://www.sqlite.org/wal.html), and leave BEGIN to us."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_immediate(connection: Connection) -> None:
    """Queue up for writing at once: a reader that turns writer half-way fails when another was faster."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def translated() -> Iterator[None]:
    """Turns what SQLAlchemy and its drivers raise into StoreUnavailable."""
    try:
        yield
    except IntegrityError as error:
        raise ConstraintViolated("Two requests wrote the same at once; try again") from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"The database does not answer as it should ({_kind(error)})") from error


def _kind(error: Exception) -> str:
    """What the driver calls it: InvalidCatalogNameError says more than DBAPIError."""
    original = getattr(error, "orig", None) or error
    return type(original.__cause__ or original).__name__


def _may_be_repeated(error: DBAPIError) -> bool:
    number = str(error.orig.args[0]) if error.orig and error.orig.args else ""
    return error.connection_invalidated or {str(getattr(error.orig, "sqlstate", "")), number} & UNDONE != set()
