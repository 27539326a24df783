"""Webhooks: the endpoints that receive events, what they have to be sent, and when a failed delivery is repeated."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from urllib.parse import urlsplit

from domain.event import Event

LIFETIME = timedelta(days=3)
"""How long after its event a delivery is repeated."""

PAUSES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The pauses after each failure: those of Standard Webhooks 1.0, with one of 30 seconds more."""

MIN_RETRY_AFTER = timedelta(seconds=1)
MAX_RETRY_AFTER = timedelta(hours=1)
"""The bounds of the time that a receiver may ask for: it is asked again at least once an hour."""

GONE = 410
OVERLOADED = frozenset({429, 502, 503, 504})
"""The statuses that say that the receiver, and not the event, is the reason."""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An endpoint that receives events. Its URL may contain a secret, so logs and metrics have `id` and `host`.

    All `secrets` sign. `private` allows addresses of private networks and of this machine.
    """

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    private: bool = False

    @property
    def id(self) -> str:
        """Return the id, which is derived from the URL: 16 hex digits."""
        return sha256(self.url.encode()).hexdigest()[:16]

    @property
    def host(self) -> str:
        """Return the host of the URL."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that an endpoint has not received. `endpoint` is the id of the endpoint, `attempts` counts failures."""

    endpoint: str
    event: Event
    attempts: int

    @property
    def deadline(self) -> datetime:
        """Return the time after which the delivery is not repeated."""
        return self.event.time + LIFETIME

    def repeat_at(self, now: datetime, retry_after: timedelta | None, jitter: float) -> datetime | None:
        """Return when to repeat the delivery after a failure, at the deadline at the latest. None: give it up.

        `retry_after` is the time that the receiver asks for. Without it, `jitter` is a factor of the pause.
        """
        if now >= self.deadline:
            return None
        if retry_after is not None:
            pause = min(max(retry_after, MIN_RETRY_AFTER), MAX_RETRY_AFTER)
        else:
            pause = PAUSES[min(self.attempts, len(PAUSES) - 1)] * jitter
        return min(now + pause, self.deadline)


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """The response of a receiver: its HTTP status, or None and the `cause` why there is none."""

    status: int | None
    retry_after: timedelta | None = None
    cause: str | None = None

    @property
    def is_success(self) -> bool:
        """Return whether the receiver has the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_overload(self) -> bool:
        """Return whether the receiver does not answer, or asks for less: another event would fail, too."""
        return self.status is None or self.status in OVERLOADED


class DeliveryOutcome(StrEnum):
    """The outcome of an attempt to deliver."""

    DELIVERED = "delivered"
    POSTPONED = "postponed"
    GONE = "gone"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to deliver, and what follows. `response` is None if the receiver was not asked."""

    endpoint: WebhookEndpoint
    delivery: Delivery
    outcome: DeliveryOutcome
    response: WebhookReply | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of an endpoint's waiting deliveries, and the time of the oldest event among them."""

    waiting: int
    oldest: datetime
