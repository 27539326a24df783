"""Forward what WeChat pushes."""

from abc import abstractmethod
from typing import Protocol

from domain.push import RawPush


class PushForwarder(Protocol):
    """Forwards pushes that do not concern this service."""

    @abstractmethod
    async def forward(self, raw: RawPush) -> None:
        """Send the push as it came. Raises PushNotForwarded unless the receiver accepts it in time."""
