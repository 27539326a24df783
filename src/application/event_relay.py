"""Bring the events of session stores to where all events are kept."""

from collections.abc import Sequence

from application.ports.events import Events
from application.ports.session_events import SessionEvents


class EventRelay:
    """Adds the events that session stores wrote with their changes to Events."""

    def __init__(self, sources: Sequence[SessionEvents], events: Events) -> None:
        self._sources = sources
        self._events = events

    async def __call__(self) -> int:
        """Relay all events, and return how many. Repeat it after StoreUnavailable: no event is lost."""
        return sum([await source.relay(self._events.add) for source in self._sources])
