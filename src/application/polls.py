"""Answer the polls of pending device grants without their store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.device_grant import DeviceCode, GrantState, Pace, PollRefusal

WATCH_SECONDS = 1.0
"""How often a process reads, in one go, which of the polled grants are pending."""

FRESH = timedelta(seconds=1.5)
"""How long such a read is valid: the longest time until a website sees an answer, or the first look before it."""

RECENT = timedelta(seconds=10)
"""How long after a poll its grant is read."""

Poller = tuple[str, DeviceCode]
"""An OAuth client and its code."""


@dataclass(slots=True)
class Poll:
    """The polls of one poller in this process. Until `pending_until`, they get `pending` without the store."""

    pace: Pace
    pending: PollRefusal
    pending_until: datetime
    expires_at: datetime


class Polls:
    """The pollers that this process knows: how fast each polls, and whose grant is pending."""

    def __init__(self) -> None:
        self._polls: dict[Poller, Poll] = {}

    def __len__(self) -> int:
        """Return how many pollers are known."""
        return len(self._polls)

    def refuse(self, poller: Poller, now: datetime) -> PollRefusal | None:
        """Return why a poll gets no session, and count it; None if the store has to say, and counts it."""
        poll = self._polls.get(poller)
        if poll is None:
            return None
        pace, is_early = poll.pace.poll(now)
        if not is_early and now >= poll.pending_until:
            return None
        poll.pace = pace
        return PollRefusal.SLOW_DOWN if is_early else poll.pending

    def count(self, poller: Poller, pending: PollRefusal, now: datetime, expires_at: datetime) -> None:
        """Count a poll of a grant that exists and is pending, and know the poller until the grant expires."""
        poll = self._polls.setdefault(poller, Poll(Pace(now), pending, now, expires_at))
        poll.pace = replace(poll.pace, polled_at=now)
        if pending is PollRefusal.SCANNED:
            poll.pending = pending

    def recent(self, now: datetime) -> set[str]:
        """Return the scenes of the grants that were polled lately. Forgets the pollers of expired grants."""
        self._polls = {poller: poll for poller, poll in self._polls.items() if now < poll.expires_at}
        return {code.scene for (_, code), poll in self._polls.items() if now < poll.pace.polled_at + RECENT}

    def confirm(self, pending: Mapping[str, GrantState], read_at: datetime) -> None:
        """Answer polls of these scenes by their states for a while, and no others. A look that is known stays known."""
        for (_, code), poll in self._polls.items():
            state = pending.get(code.scene)
            poll.pending_until = min(read_at + FRESH, poll.expires_at) if state else read_at
            if state is GrantState.SEEN:
                poll.pending = PollRefusal.SCANNED
