"""Read all that the database stores about a user, except for secrets."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, select

from adapters.sql.event_records import decode_event
from adapters.sql.session_records import session_of
from adapters.sql.tables import (
    accounts,
    device_grants,
    merges,
    sessions,
    unionid_conflicts,
    webhook_deliveries,
)
from domain.event import Event
from domain.own_data import ConflictRecord, MergeRecord, ScanRecord, SessionRecord, UserRecords
from domain.session import EndReason
from domain.user import User


def read_records(connection: Connection, user: User) -> UserRecords:
    """Return what the tables have about the user."""
    owned = select(accounts.c.created_at).where(accounts.c.user_id == user.id)
    since = connection.scalars(owned.order_by(accounts.c.created_at, accounts.c.openid))
    recorded = _rows(connection, merges, merges.c.into_id == user.id)
    merged = sorted(map(_merge_record, recorded), key=lambda each: each.merged_at)
    ids = [user.id, *(each.user_id for each in merged)]
    return UserRecords(
        user,
        tuple(since),
        tuple(_conflict(row) for row in _rows(connection, unionid_conflicts, unionid_conflicts.c.user_id == user.id)),
        tuple(merged),
        tuple(_session(row) for row in _rows(connection, sessions, sessions.c.user_id == user.id)),
        tuple(_scan(row) for row in _rows(connection, device_grants, device_grants.c.user_id.in_(ids))),
        _waiting(_rows(connection, webhook_deliveries, webhook_deliveries.c.user_id.in_(ids))),
    )


def _rows(connection: Connection, table: Table, condition: Any) -> Sequence[Row[Any]]:
    return connection.execute(select(table).where(condition)).all()


def _merge_record(row: Row[Any]) -> MergeRecord:
    return MergeRecord(row.from_id, row.merged_at, msgspec.json.decode(row.record))


def _conflict(row: Row[Any]) -> ConflictRecord:
    return ConflictRecord(row.unionid, row.other_user_id, row.created_at)


def _session(row: Row[Any]) -> SessionRecord:
    return SessionRecord(session_of(row), EndReason(row.end_reason) if row.end_reason else None)


def _waiting(rows: Sequence[Row[Any]]) -> tuple[Event, ...]:
    """Return the events of deliveries, each once, but not those of a newer release that this one cannot read."""
    events: dict[str, Event] = {}
    for row in rows:
        with suppress(ValueError):
            events[row.event_id] = decode_event(row.event)
    return tuple(events.values())


def _scan(row: Row[Any]) -> ScanRecord:
    return ScanRecord(row.client_id, row.appid, row.user_agent, row.ip, row.created_at, row.state)
