"""Relay the events of session stores while a service or a worker runs."""

from contextlib import AbstractAsyncContextManager

from entrypoints.container import Container
from entrypoints.periodic import repeating

PERIOD_SECONDS = 1.0
"""How often a process relays events: about as late as they are in the audit trail and at webhooks."""


def relaying(container: Container) -> AbstractAsyncContextManager[None]:
    """Relay events each second while the block runs. It is safe if several processes do."""
    return repeating(container.event_relay(), lambda: PERIOD_SECONDS, "events")
