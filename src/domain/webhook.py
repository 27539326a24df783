"""What webhooks have to deliver."""

from dataclasses import dataclass
from datetime import datetime

from domain.event import Event


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that an endpoint has not received. `endpoint` is the id of the endpoint, `attempts` counts failures."""

    endpoint: str
    event: Event
    attempts: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many deliveries of an endpoint wait, and the time of the oldest event among them."""

    waiting: int
    oldest: datetime
