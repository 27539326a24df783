"""Connections to SQLite."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from adapters.sql.connections import CALL_SECONDS, Connections, T, Work


class SqliteConnections(Connections):
    """One connection for reads, on the event loop, and one for writes and one for the log, in a thread.

    Reading a row by its key takes less time than switching to a thread and back, and in WAL mode a reader does not wait
    for writers (https://www.sqlite.org/wal.html). SQLite has one writer at a time. The queue of one thread serves
    writers in order, which SQLite's own busy handler does not.
    """

    reads_at_once = True

    def __init__(self, url: str) -> None:
        file = url.replace("+aiosqlite", "", 1)
        self._reader = _sqlite_engine(file, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        self._reading: Connection | None = None
        self._writer = _sqlite_engine(file)
        self._checkpointer = _sqlite_engine(file, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
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

        def run() -> T:
            with self._writer.begin() as connection:
                return work(connection)

        return await self._in_thread(run)

    async def write_one(self, work: Work[T]) -> T:
        """See Connections."""
        return await self.write(work)

    async def empty_log(self) -> None:
        """See Connections. Neither waits for readers, nor lets the event loop wait for the disk."""

        def run() -> None:
            with self._checkpointer.connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout = 0")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

        await self._in_thread(run)

    async def close(self) -> None:
        """Close each connection in the thread that opened it, and end the writer's thread."""
        self._stop_reading()
        self._reader.dispose()
        await self._in_thread(self._checkpointer.dispose)
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
    event.listen(engine, "do_connect", _create_private)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _create_private(_dialect: object, _record: object, arguments: Sequence[Any], _options: object) -> None:
    """Create the database file with mode 0600, if it does not exist. The files beside it get the same mode.

    Does not open the file, because closing any descriptor of it drops the locks of all connections of this process
    (https://www.sqlite.org/howtocorrupt.html, section 2.2). Where only root may do that, as on macOS, SQLite creates it
    with the mode that the umask leaves.
    """
    if arguments[0] != ":memory:":
        with suppress(OSError):  # it exists, or SQLite reports the error
            os.mknod(arguments[0], 0o600)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Set WAL, in which no reader waits for a writer (https://www.sqlite.org/wal.html), and manual BEGIN.

    `secure_delete` overwrites deleted rows with zeros, so that an erasure leaves nothing in the file.
    """
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_immediate(connection: Connection) -> None:
    """Begin with the write lock. A transaction that first reads may fail when it writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
