"""A connection to PostgreSQL that is soon given up."""

import asyncpg

from adapters.sql.connections import CLOSE_SECONDS


class QuickCloseConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """asyncpg's. SQLAlchemy closes it after a call that took too long, and would give the server two seconds for that.

    No time at all would leave the statement running: the server is told to cancel it, on another connection.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109  # asyncpg's signature
        """See asyncpg."""
        await super().close(timeout=CLOSE_SECONDS)
