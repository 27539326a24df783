"""Events as rows of the audit trail, and as text in the rows of what they are about."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from adapters.sql.tables import audit_events, webhook_deliveries
from adapters.sql.upsert import insert_new
from domain.event import Event, EventPolicy

_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> str:
    """Return the event as JSON."""
    return msgspec.json.encode(event).decode()


def decode_event(text: str) -> Event:
    """Return the event."""
    return _decoder.decode(text)


def insert_events(connection: Connection, events: Sequence[Event], policy: EventPolicy) -> None:
    """Insert the events that the policy keeps, and their deliveries. Does nothing for those that are there."""
    for event in events:
        if policy.audits(event.type):
            insert_new(connection, audit_events, _row(event))
        for endpoint in policy.subscribers(event.type):
            insert_new(connection, webhook_deliveries, _delivery(endpoint, event))


def _row(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "time": event.time,
        "type": event.type.value,
        "actor": event.actor,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "app": event.app,
        "ip": event.ip,
        "reason": event.reason,
    }


def _delivery(endpoint: str, event: Event) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "event_id": event.id,
        "event": encode_event(event),
        "event_time": event.time,
        "attempts": 0,
        "due_at": event.time,
    }
