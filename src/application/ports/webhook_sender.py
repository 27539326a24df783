"""Send an event to an endpoint."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from domain.event import Event
from domain.webhook import WebhookEndpoint, WebhookReply


class WebhookSender(Protocol):
    """Sends events, signed, and returns in bounded time. Raises nothing for a receiver that fails."""

    @abstractmethod
    async def send(self, endpoint: WebhookEndpoint, event: Event, now: datetime) -> WebhookReply:
        """Send the event once, signed at `now`, and return the response. An event has the same id on a repeat."""
