"""The message of an event: its body, and its signature by the library `standardwebhooks`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor

import msgspec
from standardwebhooks import Webhook

from domain.event import Event

CONTENT_TYPE = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "wxlogin"}


class _Data(msgspec.Struct, omit_defaults=True):
    """What receivers learn of an event. A field that an event gets one day is not sent unless it is added here."""

    id: str
    time: datetime
    actor: str
    user_id: str | None = None
    session_id: str | None = None
    app: str | None = None
    ip: str | None = None
    reason: str | None = None


class _Body(msgspec.Struct):
    type: str
    timestamp: datetime
    data: _Data


def encode_body(event: Event) -> bytes:
    """Return the body, the same for each attempt and endpoint."""
    data = _Data(event.id, event.time, event.actor, event.user_id, event.session_id, event.app, event.ip, event.reason)
    return msgspec.json.encode(_Body(event.type.value, event.time, data))


def signed_headers(event_id: str, body: bytes, signers: Sequence[Webhook], now: datetime) -> dict[str, str]:
    """Return the headers of a message, with one signature by each secret."""
    moment = datetime.fromtimestamp(floor(now.timestamp()), UTC)
    text = body.decode()
    return CONTENT_TYPE | {
        "webhook-id": event_id,
        "webhook-timestamp": str(floor(now.timestamp())),
        "webhook-signature": " ".join(signer.sign(event_id, moment, text) for signer in signers),
    }
