"""The message of an event: its body, and its signature by the library `standardwebhooks`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor

import msgspec
from standardwebhooks import Webhook

from domain.event import Event

CONTENT_TYPE = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "wxlogin"}


DATA = ("id", "time", "actor", "user_id", "session_id", "app", "ip", "reason")
"""The fields of an event that receivers get, if known. A new field of Event is sent only after it is added here."""


def encode_body(event: Event) -> bytes:
    """Return the body, the same for each attempt and endpoint."""
    data = {name: value for name in DATA if (value := getattr(event, name)) is not None}
    return msgspec.json.encode({"type": event.type.value, "timestamp": event.time, "data": data})


def signed_headers(event_id: str, body: bytes, signers: Sequence[Webhook], now: datetime) -> dict[str, str]:
    """Return the headers of a message, with one signature by each secret."""
    moment = datetime.fromtimestamp(floor(now.timestamp()), UTC)
    text = body.decode()
    return CONTENT_TYPE | {
        "webhook-id": event_id,
        "webhook-timestamp": str(floor(now.timestamp())),
        "webhook-signature": " ".join(signer.sign(event_id, moment, text) for signer in signers),
    }
