"""Connections to PostgreSQL, MariaDB and MySQL."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.connections import CALL_SECONDS, Connections, T, Work

MAX_CONNECTIONS = 20

CONNECT_SECONDS = 2
LOCK_SECONDS = 2


class AsyncPool(Connections):
    """Connections of an asyncio driver.

    The pool has no overflow: SQLAlchemy closes overflow connections as soon as they are idle, and connecting takes
    longer than a query.
    """

    reads_at_once = False

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(
            url,
            hide_parameters=True,
            connect_args=_connect_args(url),
            pool_size=MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=CALL_SECONDS - 1,
            pool_use_lifo=True,
            pool_recycle=1800,
        )
        self._reader, self._writer = _reader_and_writer(self._engine)
        self.pools = [self._engine.pool]
        self.size = MAX_CONNECTIONS

    async def read(self, work: Work[T]) -> T:
        """See Connections."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        """See Connections."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(work)

    async def write_one(self, work: Work[T]) -> T:
        """See Connections."""
        return await self.read(work)

    async def empty_log(self) -> None:
        """See Connections. The server has its log."""

    async def close(self) -> None:
        """See Connections."""
        await self._engine.dispose()


def _reader_and_writer(engine: AsyncEngine) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the engines for reads, in autocommit, and for writes, in transactions.

    With asyncpg autocommit costs nothing. On MySQL switching it takes round trips whose failure SQLAlchemy does not
    expect: there it is always on, and a transaction starts with an explicit BEGIN.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="AUTOCOMMIT"), engine
    writer = engine.execution_options()
    event.listen(writer.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine, writer


def _connect_args(url: str) -> dict[str, Any]:
    """Return the arguments of the driver, which is imported here because it takes long to load."""
    if url.startswith("postgresql"):
        from adapters.sql.postgresql import QuickCloseConnection

        return {"timeout": CONNECT_SECONDS, "connection_class": QuickCloseConnection}
    from adapters.sql.mysql import connect

    bound = f"SET innodb_lock_wait_timeout = {LOCK_SECONDS}"  # nothing else ends a wait that the client gave up
    return {
        "async_creator_fn": connect,
        "connect_timeout": CONNECT_SECONDS,
        "init_command": bound,
        "autocommit": True,
    }
