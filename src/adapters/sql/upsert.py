"""INSERT statements for rows whose key may exist, in the dialect of each database.

They are built once: building one takes as long as running it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import IntegrityError

DUPLICATE_KEY = 1062
"""MySQL's ER_DUP_ENTRY."""

Changes = Callable[[Any], Sequence[tuple[str, Any]]]
"""Returns the columns to change and their new values, in order, given the columns of the row to insert."""


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row, unless one with the same key exists; return whether it was inserted.

    If another transaction is inserting the same key, wait for its end.
    """
    insert = _insert_new(_dialect(connection), table)
    try:
        return connection.execute(insert, row).rowcount == 1
    except IntegrityError as error:
        if error.orig is None or error.orig.args[0] != DUPLICATE_KEY:
            raise
        return False  # InnoDB undid this statement alone


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of the rows whose keys do not exist. The rows have the same columns, and there is at least one.

    If another transaction is inserting the same keys, wait for its end.
    """
    connection.execute(_insert_missing(_dialect(connection), table), rows)


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], changes: Changes) -> None:
    """Insert the row, or change the one that has its primary key. `row` also has the parameters of `changes`."""
    connection.execute(_upsert(_dialect(connection), table, changes), row)


@cache
def _insert_new(dialect: str, table: Table) -> Any:
    insert = _insert_into(dialect, table)
    return insert if dialect == "mysql" else insert.on_conflict_do_nothing()  # IGNORE would hide other errors, too


@cache
def _insert_missing(dialect: str, table: Table) -> Any:
    insert = _insert_into(dialect, table)
    if dialect != "mysql":
        return insert.on_conflict_do_nothing()
    key = next(iter(table.primary_key)).name  # changes nothing: the row has this value already
    return insert.on_duplicate_key_update({key: insert.inserted[key]})


@cache
def _upsert(dialect: str, table: Table, changes: Changes) -> Any:
    insert = _insert_into(dialect, table)
    if dialect == "mysql":
        return insert.on_duplicate_key_update(list(changes(insert.inserted)))
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=dict(changes(insert.excluded)))


def _insert_into(dialect: str, table: Table) -> Any:
    """Return the dialect's own INSERT. Its module is imported late: only the driver of that database needs it."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


def _dialect(connection: Connection) -> str:
    return "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name
