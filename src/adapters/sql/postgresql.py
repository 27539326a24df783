"""A connection to PostgreSQL that closes quickly."""

import asyncpg

from adapters.sql.connections import CLOSE_SECONDS


class QuickCloseConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """asyncpg's connection, which SQLAlchemy closes after a call that took too long.

    SQLAlchemy would give the server two seconds for that. Zero would leave the statement running: within the time
    asyncpg sends a cancel request on another connection.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109  # asyncpg's signature
        """Close within CLOSE_SECONDS. See asyncpg."""
        await super().close(timeout=CLOSE_SECONDS)
