"""Events of sessions in the memory of this process."""

from collections.abc import Awaitable, Callable, Sequence

from application.ports.session_events import SessionEvents
from domain.event import Event


class MemorySessionEvents(SessionEvents):
    """The SessionEvents of stores that publish their events here."""

    def __init__(self) -> None:
        self._pending: list[Event] = []

    def publish(self, events: Sequence[Event]) -> None:
        """Hold the events until they are relayed. See Publish."""
        self._pending += events

    async def relay(self, add: Callable[[Sequence[Event]], Awaitable[None]]) -> int:
        """See SessionEvents."""
        passed = list(self._pending)
        if passed:
            await add(passed)
            del self._pending[: len(passed)]
        return len(passed)
