"""Events as text in the rows of what they are about, and of what webhooks have to deliver."""

import msgspec

from domain.event import Event

_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> str:
    """Return the event as JSON."""
    return msgspec.json.encode(event).decode()


def decode_event(text: str) -> Event:
    """Return the event."""
    return _decoder.decode(text)
