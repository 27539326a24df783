"""Check whether the database answers."""

from sqlalchemy import Connection, select

from adapters.sql.database import Database
from adapters.sql.tables import users
from application.ports.probe import Probe


class SqlProbe(Probe):
    """Reads a user, so that a database without tables is not ready."""

    name = "database"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        """See Probe."""
        await self._database.read(_look)


def _look(connection: Connection) -> None:
    connection.execute(select(users.c.id).limit(1))
