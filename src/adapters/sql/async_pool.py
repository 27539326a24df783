"""Connections to a database server: PostgreSQL, MariaDB or MySQL."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.connections import CALL_SECONDS, Connections, T, Work

CONNECTIONS = 20

CONNECT_SECONDS = 2
LOCK_SECONDS = 2


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

    async def write_one(self, work: Work[T]) -> T:
        """See Connections."""
        return await self.read(work)

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
