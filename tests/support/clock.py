"""Time that a test moves."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the same time until it is moved. It starts now, because Redis drops keys by its own clock."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=123456)

    def __call__(self) -> datetime:
        """What time it is."""
        return self.now

    def advance(self, **duration: float) -> datetime:
        """Move on by a timedelta's arguments, and say what time it is then."""
        self.now += timedelta(**duration)
        return self.now
