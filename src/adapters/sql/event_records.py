"""Events as JSON, in columns of tables."""

import msgspec

from domain.event import Event

_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> str:
    """Return the event as JSON."""
    return msgspec.json.encode(event).decode()


def decode_event(text: str) -> Event:
    """Return the event. Raises ValueError for a record of a newer release that this one cannot read."""
    return _decoder.decode(text)
