"""Forwarded pushes, for tests."""

from application.ports.push_forwarder import PushForwarder
from domain.push import PushNotForwarded, RawPush


class MemoryPushForwarder(PushForwarder):
    """A PushForwarder whose receiver is a list. It accepts nothing while `is_away`."""

    def __init__(self) -> None:
        self.received: list[RawPush] = []
        self.is_away = False

    async def forward(self, raw: RawPush) -> None:
        """See PushForwarder."""
        if self.is_away:
            raise PushNotForwarded("away")
        self.received.append(raw)
