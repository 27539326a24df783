"""Merge two users in one transaction. Sessions in the database move with them, because their rows refer to the user."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from adapters.sql.tables import accounts, merges, sessions, unionid_conflicts, users
from domain.user import PROFILE_LIMITS, User, merge


def merged_into(connection: Connection, user_id: str) -> str | None:
    """Return the id of the user into which `user_id` was merged, or None."""
    return connection.scalar(select(merges.c.into_id).where(merges.c.from_id == user_id))


def lock(connection: Connection, *user_ids: str) -> None:
    """Lock the users' rows against logins. The order of ids prevents deadlocks between merges."""
    connection.execute(select(users.c.id).where(users.c.id.in_(user_ids)).order_by(users.c.id).with_for_update())


def merge_rows(connection: Connection, one: User, into: User, discard: frozenset[str], now: datetime) -> None:
    """Move all rows of `one` to `into`, and keep a record of `one`. Raises RequestInvalid."""
    both = merge(one, into, discard, now)
    for table in (accounts, sessions):
        connection.execute(update(table).where(table.c.user_id == one.id).values(user_id=into.id))
    _settle_conflicts(connection, one.id, into.id, both.unionid)
    connection.execute(delete(users).where(users.c.id == one.id))  # before the other one takes its unionid
    profile = {field: getattr(both.profile, field) for field in PROFILE_LIMITS}
    values = {**profile, "phone": both.phone, "unionid": both.unionid, "updated_at": now, "blocked_at": both.blocked_at}
    connection.execute(update(users).where(users.c.id == into.id).values(values))
    _record(connection, one, into.id, now)


def _settle_conflicts(connection: Connection, one: str, into: str, unionid: str | None) -> None:
    """Delete the conflicts between the two users and those about `unionid`, and move the others to `into`."""
    conflicts = unionid_conflicts.c
    known = set(connection.scalars(select(conflicts.unionid).where(conflicts.user_id == into)))
    for row in connection.execute(select(unionid_conflicts).where(conflicts.user_id == one)).all():
        if row.unionid not in known:
            mine = (conflicts.user_id == one) & (conflicts.unionid == row.unionid)
            connection.execute(update(unionid_conflicts).where(mine).values(user_id=into))
    connection.execute(update(unionid_conflicts).where(conflicts.other_user_id == one).values(other_user_id=into))
    is_over = (conflicts.other_user_id == into) | (conflicts.unionid == unionid)
    connection.execute(delete(unionid_conflicts).where(conflicts.user_id == into, is_over))


def _record(connection: Connection, one: User, into_id: str, now: datetime) -> None:
    connection.execute(update(merges).where(merges.c.into_id == one.id).values(into_id=into_id))
    row: dict[str, Any] = {"from_id": one.id, "into_id": into_id, "merged_at": now, "record": _as_json(one)}
    connection.execute(insert(merges).values(row))


def _as_json(user: User) -> str:
    return msgspec.json.encode(user).decode()
