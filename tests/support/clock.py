"""A clock that a test moves."""

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that moves only when a test moves it.

    It starts at the real time, because Redis expires keys by its own clock.
    """

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=123456)

    def __call__(self) -> datetime:
        """Return the time of the clock."""
        return self.now

    def advance(self, **duration: float) -> datetime:
        """Move the clock by the arguments of a timedelta, and return the new time."""
        self.now += timedelta(**duration)
        return self.now
