"""Erase a user in one transaction, with all that the database stores about them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from adapters.sql.event_records import decode_event, encode_event
from adapters.sql.events import insert_events
from adapters.sql.session_records import session_of
from adapters.sql.tables import (
    accounts,
    audit_events,
    device_grants,
    ended_sessions,
    merges,
    session_keys,
    sessions,
    unionid_conflicts,
    users,
    webhook_deliveries,
)
from adapters.sql.user_merge import lock_current
from domain.errors import NotFound
from domain.event import Cause, Event, EventPolicy, EventType
from domain.identity import AppId, Identity
from domain.own_data import Erasure
from domain.session import EndReason, Session

MERGED_INTO = "with "
"""The reason of the event of a merged user who is erased with another one begins so, and ends with the other's id."""


def erase_rows(
    connection: Connection, events: list[Event], user_id: str, policy: EventPolicy, now: datetime, cause: Cause
) -> Erasure:
    """Erase the user, and append the events of the erasure. Raises NotFound.

    All reads lock, so that they see what other transactions committed while this one waited.
    """
    try:
        current = lock_current(connection, user_id)
    except NotFound:
        return _erased_before(connection, user_id)
    former = select(merges.c.from_id).where(merges.c.into_id == current).order_by(merges.c.from_id)
    ids = (current, *connection.scalars(former.with_for_update()))
    owned = select(accounts.c.appid, accounts.c.openid).where(accounts.c.user_id == current)
    identities = tuple(Identity(AppId(row.appid), row.openid) for row in connection.execute(owned.with_for_update()))
    quiet = cause.without_address()
    ended = _erase_sessions(connection, current, policy, now)
    _erase_keys(connection, identities)
    for rows in (
        delete(unionid_conflicts).where(unionid_conflicts.c.user_id == current),
        delete(unionid_conflicts).where(unionid_conflicts.c.other_user_id == current),
        delete(device_grants).where(device_grants.c.user_id.in_(ids)),
        delete(merges).where(merges.c.into_id == current),
        delete(accounts).where(accounts.c.user_id == current),
        delete(users).where(users.c.id == current),
    ):
        connection.execute(rows)
    _forget_addresses(connection, ids)
    events += [session.ended_event(EndReason.ENDED, now, quiet) for session in ended]
    events += [_erased(each, current, now, quiet) for each in ids]
    return Erasure(ids, identities, is_new=True)


def _erased(user_id: str, current: str, now: datetime, cause: Cause) -> Event:
    reason = None if user_id == current else MERGED_INTO + current
    return Event.of(EventType.USER_ERASED, cause, now, user_id=user_id, reason=reason)


def _erased_before(connection: Connection, user_id: str) -> Erasure:
    """Return the erasure that the audit trail records, with the ids of all erased users. Raises NotFound."""
    event = audit_events.c
    is_erasure = event.type == EventType.USER_ERASED.value
    known = connection.execute(select(audit_events).where(event.user_id == user_id, is_erasure)).first()
    if known is None:
        raise NotFound("There is no such user")
    reason = known.reason or ""
    current = reason.removeprefix(MERGED_INTO) if reason.startswith(MERGED_INTO) else user_id
    is_of_it = (event.user_id == current) | (event.reason == MERGED_INTO + current)
    same = select(event.user_id).where(is_erasure, event.time == known.time, is_of_it)
    return Erasure(tuple({user_id, *connection.scalars(same)}), (), is_new=False)


def _erase_sessions(connection: Connection, user_id: str, policy: EventPolicy, now: datetime) -> list[Session]:
    """Delete the sessions of the user, and return those that were live. Brings over the events in their rows."""
    rows = connection.execute(select(sessions).where(sessions.c.user_id == user_id).with_for_update()).all()
    pending = [_kept(text) for row in rows for text in (row.started_event, row.ended_event) if text]
    insert_events(connection, [event for event in pending if event], policy)
    live = [session for row in rows if row.end_reason is None and (session := session_of(row)).is_live(now)]
    if left := [*_reasons(rows, now), *(_reason(session, now) for session in live)]:
        connection.execute(insert(ended_sessions), left)
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
    return live


def _reasons(rows: Sequence[Row[Any]], now: datetime) -> list[dict[str, Any]]:
    """Return what stays of the sessions that ended before."""
    return [
        {"id": row.id, "end_reason": row.end_reason, "retain_until": row.retain_until}
        for row in rows
        if row.end_reason and row.retain_until > now
    ]


def _reason(session: Session, now: datetime) -> dict[str, Any]:
    ended = session.end(EndReason.ENDED, now)
    return {"id": session.id, "end_reason": ended.reason.value, "retain_until": ended.retain_until}


def _erase_keys(connection: Connection, identities: Sequence[Identity]) -> None:
    for identity in identities:
        is_theirs = (session_keys.c.appid == identity.appid.value) & (session_keys.c.openid == identity.openid)
        connection.execute(delete(session_keys).where(is_theirs))


def _forget_addresses(connection: Connection, ids: Sequence[str]) -> None:
    event, delivery = audit_events.c, webhook_deliveries.c
    has_address = event.user_id.in_(ids) & event.ip.is_not(None) & event.actor.not_like("admin:%")
    connection.execute(update(audit_events).where(has_address).values(ip=None))
    for row in connection.execute(select(webhook_deliveries).where(delivery.user_id.in_(ids)).with_for_update()).all():
        is_row = (delivery.endpoint == row.endpoint) & (delivery.event_id == row.event_id)
        if kept := _kept(row.event):
            connection.execute(update(webhook_deliveries).where(is_row).values(event=encode_event(kept)))
        else:
            connection.execute(delete(webhook_deliveries).where(is_row))


def _kept(record: str) -> Event | None:
    """Return the event without the address of the user.

    None for a record of a newer release that this one cannot read: it may have an address, so it is erased.
    """
    try:
        return decode_event(record).without_address_of_user()
    except ValueError:
        return None
