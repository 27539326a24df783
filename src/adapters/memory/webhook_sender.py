"""A sender of webhooks in the memory of this process, for tests and for embedding."""

from collections.abc import Callable
from datetime import datetime

from application.ports.webhook_sender import WebhookSender
from domain.event import Event
from domain.webhook import WebhookEndpoint, WebhookReply

Respond = Callable[[WebhookEndpoint, Event], WebhookReply]
"""Returns the response of the receiver."""


class MemoryWebhookSender(WebhookSender):
    """A WebhookSender that keeps what it sends, and gets its responses from a function: 204 by default."""

    def __init__(self, respond: Respond = lambda _, __: WebhookReply(204)) -> None:
        self.respond = respond
        self.sent: list[tuple[str, Event]] = []

    async def send(self, endpoint: WebhookEndpoint, event: Event, now: datetime) -> WebhookReply:  # noqa: ARG002  # no signature
        """See WebhookSender."""
        self.sent.append((endpoint.id, event))
        return self.respond(endpoint, event)
