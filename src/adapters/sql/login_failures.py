"""Counts of failed logins in a database: one row for each minute and reason."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from adapters.sql.database import Database
from adapters.sql.tables import login_failures
from adapters.sql.upsert import upsert
from application.ports.login_failures import LoginFailures
from domain.login_failure import LoginFailure

NO_APP = "?"
"""Stands for an unknown app in the key. No appid is this text."""

NO_ERRCODE = 0
"""Stands for an absent errcode in the key. WeChat uses 0 for success."""


class SqlLoginFailures(LoginFailures):
    """LoginFailures on the database of the users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        await self._database.write(partial(_add, counts=counts))

    async def since(self, minute: datetime) -> dict[LoginFailure, int]:
        """See LoginFailures."""
        return await self._database.read(partial(_since, minute=minute))

    async def purge(self, before: datetime) -> int:
        """See LoginFailures."""
        return await self._database.write(partial(_purge, before=before))


def _add(connection: Connection, counts: Mapping[LoginFailure, int]) -> None:
    """Add to the rows in the order of their keys, so that processes that add at once do not deadlock."""
    rows = [_row(failure, count) for failure, count in counts.items()]
    for row in sorted(rows, key=lambda row: (row["minute"], row["app"], row["code"], row["errcode"])):
        upsert(connection, login_failures, row, _sum)


def _sum(new: Any) -> list[tuple[str, Any]]:
    return [("count", login_failures.c.count + new.count)]


def _since(connection: Connection, minute: datetime) -> dict[LoginFailure, int]:
    number = login_failures.c.count.label("number")  # a row has a method `count`
    rows = connection.execute(select(login_failures, number).where(login_failures.c.minute >= minute))
    return {_failure(row): row.number for row in rows}


def _purge(connection: Connection, before: datetime) -> int:
    return connection.execute(delete(login_failures).where(login_failures.c.minute < before)).rowcount


def _row(failure: LoginFailure, count: int) -> dict[str, Any]:
    return {
        "minute": failure.minute,
        "app": failure.app or NO_APP,
        "code": failure.code,
        "errcode": failure.errcode or NO_ERRCODE,
        "count": count,
    }


def _failure(row: Row[Any]) -> LoginFailure:
    app = None if row.app == NO_APP else row.app
    return LoginFailure(row.minute, app, row.code, row.errcode or None)
