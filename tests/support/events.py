"""What tests of events need: sources that were relayed, and events that were published."""

from collections.abc import Sequence

from domain.event import Event


class Kept:
    """The events that a relay added, or that a store published."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def add(self, events: Sequence[Event]) -> None:
        """Keep the events, as Events.add does: each once."""
        known = {event.id for event in self.events}
        self.events += [event for event in events if event.id not in known]

    def publish(self, events: Sequence[Event]) -> None:
        """Keep the events."""
        self.events += events
