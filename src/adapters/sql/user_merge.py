"""Merge two users in one transaction. Sessions in the database move with them, because their rows refer to the user."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from adapters.sql.database import ConcurrentChange
from adapters.sql.tables import accounts, merges, sessions, unionid_conflicts, users
from domain.errors import NotFound
from domain.user import PROFILE_LIMITS, User, merge


def merged_into(connection: Connection, user_id: str) -> str | None:
    """Return the id of the user into which `user_id` was merged, or None."""
    return connection.scalar(select(merges.c.into_id).where(merges.c.from_id == user_id))


def merged_ids(connection: Connection, user_id: str) -> list[str]:
    """Return the ids of the users who were merged into `user_id`, each before the one that it was merged into."""
    former = select(merges.c.from_id).where(merges.c.into_id == user_id)
    return list(connection.scalars(former.order_by(merges.c.merged_at)))


def lock(connection: Connection, *user_ids: str) -> None:
    """Lock the users' rows against logins. The order of ids prevents deadlocks between merges."""
    connection.execute(select(users.c.id).where(users.c.id.in_(user_ids)).order_by(users.c.id).with_for_update())


def lock_current(connection: Connection, user_id: str) -> str:
    """Lock the user's row, or that of the user they were merged into, and return its id. Raises NotFound.

    The first statement of a transaction: on MySQL, reads that do not lock see what was committed before the first of
    them.
    """
    if _lock_one(connection, user_id):
        return user_id
    merged_id = merged_into(connection, user_id)
    if merged_id is None:
        raise NotFound("There is no such user")
    if not _lock_one(connection, merged_id):
        raise ConcurrentChange  # merged again, or erased
    return merged_id


def _lock_one(connection: Connection, user_id: str) -> bool:
    row = select(users.c.id).where(users.c.id == user_id).with_for_update()
    return connection.scalar(row) is not None


def merge_rows(connection: Connection, source: User, target: User, discard: frozenset[str], now: datetime) -> None:
    """Move all rows of `source` to `target`, and keep a record of `source`. Raises RequestInvalid."""
    merged = merge(source, target, discard, now)
    for table in (accounts, sessions):
        connection.execute(update(table).where(table.c.user_id == source.id).values(user_id=target.id))
    _settle_conflicts(connection, source.id, target.id, merged.unionid)
    is_unique = merged.phone is not None and merged.phone in _unique_phones(connection, source.id, target.id)
    connection.execute(delete(users).where(users.c.id == source.id))  # before `target` takes its unionid
    profile = {field: getattr(merged.profile, field) for field in PROFILE_LIMITS}
    values = {
        **profile,
        "phone": merged.phone,
        "unique_phone": merged.phone if is_unique else None,
        "unionid": merged.unionid,
        "updated_at": now,
        "blocked_at": merged.blocked_at,
    }
    connection.execute(update(users).where(users.c.id == target.id).values(values))
    _record(connection, source, target.id, now)


def _unique_phones(connection: Connection, *user_ids: str) -> set[str | None]:
    return set(connection.scalars(select(users.c.unique_phone).where(users.c.id.in_(user_ids))))


def _settle_conflicts(connection: Connection, source: str, target: str, unionid: str | None) -> None:
    """Delete the conflicts between the two users and those about `unionid`, and move the others to `target`."""
    conflicts = unionid_conflicts.c
    known = set(connection.scalars(select(conflicts.unionid).where(conflicts.user_id == target)))
    for row in connection.execute(select(unionid_conflicts).where(conflicts.user_id == source)).all():
        if row.unionid not in known:
            mine = (conflicts.user_id == source) & (conflicts.unionid == row.unionid)
            connection.execute(update(unionid_conflicts).where(mine).values(user_id=target))
    connection.execute(update(unionid_conflicts).where(conflicts.other_user_id == source).values(other_user_id=target))
    is_over = (conflicts.other_user_id == target) | (conflicts.unionid == unionid)
    connection.execute(delete(unionid_conflicts).where(conflicts.user_id == target, is_over))


def _record(connection: Connection, source: User, target_id: str, now: datetime) -> None:
    """Keep a record of `source`, dated after those of users merged into it, even if the clocks of hosts differ."""
    latest = connection.scalar(select(func.max(merges.c.merged_at)).where(merges.c.into_id == source.id))
    merged_at = max(now, latest + timedelta(microseconds=1)) if latest else now
    connection.execute(update(merges).where(merges.c.into_id == source.id).values(into_id=target_id))
    row = {"from_id": source.id, "into_id": target_id, "merged_at": merged_at, "record": _as_json(source)}
    connection.execute(insert(merges).values(row))


def _as_json(user: User) -> str:
    return msgspec.json.encode(user).decode()
