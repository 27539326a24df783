"""Deliver events to the endpoints of webhooks."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from application.ports.clock import Clock
from application.ports.webhook_queue import WebhookQueue
from application.ports.webhook_sender import WebhookSender
from domain.webhook import (
    GONE,
    LIFETIME,
    MAX_RETRY_AFTER,
    Attempt,
    Backlog,
    Delivery,
    DeliveryOutcome,
    WebhookEndpoint,
    WebhookReply,
)

CONCURRENCY = 64
"""How many calls to one endpoint a process makes at once."""

LEASE = timedelta(seconds=30)
"""How long a claimed delivery belongs to a process: longer than a call, so that a killed process delays it by this."""

SETTLE_SECONDS = 0.02
"""How long finished calls are collected, so that one statement removes many. Meanwhile others run."""

POLL_SECONDS = (0.5, 1.0)
"""The bounds of the pause when nothing is due. It is random, so that processes do not poll together."""

FAILURES = 8
"""After so many failures without a success between them, one call at a time asks whether the receiver is back."""

PROBE_SECONDS = (1.0, 60.0)
"""The first and the longest pause between these calls. Each is twice the one before."""

JITTER = (0.8, 1.2)

Observe = Callable[[Attempt], None]
"""Receives each attempt. Never raises."""


class Webhooks:
    """Delivers events to endpoints, by these rules:

    - A 2xx ends a delivery, and so does 410: the receiver wants this event no more. Any other response, also a
      redirect, is a failure.
    - A failure is repeated after a pause that grows, or after the Retry-After of the response, until three days after
      the event. Then it is given up.
    - A receiver that does not answer, or is overloaded, gets one event at a time until it answers. What waits
      meanwhile loses no attempt, and is sent as soon as the receiver is back.
    - Each endpoint has calls of its own. One that is slow delays no other.
    - Several processes share the deliveries. One that is killed leaves its deliveries to the others: a receiver may get
      an event twice, with the same id.
    """

    def __init__(
        self,
        queue: WebhookQueue,
        sender: WebhookSender,
        endpoints: Sequence[WebhookEndpoint],
        *,
        observe: Observe = lambda _: None,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self.lanes = [Lane(queue, sender, endpoint, observe, clock) for endpoint in endpoints]

    async def backlog(self) -> list[tuple[WebhookEndpoint, Backlog | None]]:
        """Return what waits for each endpoint, None for nothing. Raises StoreUnavailable."""
        waiting = await self._queue.backlog()
        return [(lane.endpoint, waiting.get(lane.endpoint.id)) for lane in self.lanes]

    async def remove_orphans(self) -> int:
        """Remove what endpoints that are no longer configured did not get for three days, and return how many.

        Raises StoreUnavailable.
        """
        return await self._queue.remove_others([lane.endpoint.id for lane in self.lanes], self._clock() - LIFETIME)


class Lane:
    """The deliveries to one endpoint, by this process."""

    def __init__(
        self,
        queue: WebhookQueue,
        sender: WebhookSender,
        endpoint: WebhookEndpoint,
        observe: Observe,
        clock: Clock,
    ) -> None:
        self.endpoint = endpoint
        self._queue = queue
        self._sender = sender
        self._observe = observe
        self._clock = clock
        self._health = _Health()
        self._calls: dict[asyncio.Task[WebhookReply], Delivery] = {}
        self._finished: list[Delivery] = []
        self._postponed: list[tuple[Delivery, datetime]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, and finish the calls under way. Raises StoreUnavailable; then run it again."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                is_busy = await self._settle_and_start()
                if not is_busy:
                    pause = random.uniform(*POLL_SECONDS)  # noqa: S311  # no secret
                    first = asyncio.FIRST_COMPLETED
                    await asyncio.wait({stopping, *self._calls}, timeout=pause, return_when=first)
                elif self._calls:
                    await asyncio.wait(self._calls, timeout=SETTLE_SECONDS)
            if self._calls:
                await asyncio.wait(self._calls)
            await self._settle()
        finally:
            stopping.cancel()

    async def aclose(self) -> None:
        """Cancel the calls under way. Their leases pass their deliveries on."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    async def _settle_and_start(self) -> bool:
        """Store results and claim at once: both wait for commits. Return whether more may be due."""
        settled, is_busy = await asyncio.gather(self._settle(), self._start_calls(), return_exceptions=True)
        for result in (settled, is_busy):
            if isinstance(result, BaseException):
                raise result
        return bool(is_busy)

    async def _start_calls(self) -> bool:
        """Claim what is due, as far as calls are free, and start them. Return whether there may be more."""
        now = self._clock()
        free = self._health.allowed(now) - len(self._calls)
        if free <= 0:
            return False
        claimed = await self._queue.claim(self.endpoint.id, now, LEASE, free)
        for delivery in claimed:
            if self._health.is_failing and now > delivery.deadline:
                self._end(delivery, DeliveryOutcome.GIVEN_UP, None)
            else:
                self._calls[asyncio.create_task(self._sender.send(self.endpoint, delivery.event, now))] = delivery
        return len(claimed) == free

    async def _settle(self) -> None:
        """Store the results of finished calls. After StoreUnavailable, the next call stores them."""
        for call in [call for call in self._calls if call.done()]:
            self._conclude(self._calls.pop(call), _reply_of(call))
        if finished := tuple(self._finished):
            await self._queue.remove(finished)
            del self._finished[: len(finished)]  # more were added meanwhile
        while self._postponed:
            await self._queue.postpone(*self._postponed[-1])
            self._postponed.pop()

    def _conclude(self, delivery: Delivery, response: WebhookReply) -> None:
        now = self._clock()
        self._health.count(response, now)
        if response.is_success:
            self._end(delivery, DeliveryOutcome.DELIVERED, response)
        elif response.status == GONE:
            self._end(delivery, DeliveryOutcome.GONE, response)
        elif until := delivery.repeat_at(now, response.retry_after, random.uniform(*JITTER)):  # noqa: S311  # no secret
            self._postponed.append((delivery, until))
            self._observe(Attempt(self.endpoint, delivery, DeliveryOutcome.POSTPONED, response))
        else:
            self._end(delivery, DeliveryOutcome.GIVEN_UP, response)

    def _end(self, delivery: Delivery, outcome: DeliveryOutcome, response: WebhookReply | None) -> None:
        self._finished.append(delivery)
        self._observe(Attempt(self.endpoint, delivery, outcome, response))


def _reply_of(call: asyncio.Task[WebhookReply]) -> WebhookReply:
    """Return the response. An exception, which no sender should raise, is a failure with its kind as the cause."""
    if call.cancelled():
        return WebhookReply(None, cause="cancelled")
    error = call.exception()
    return WebhookReply(None, cause=type(error).__name__) if error else call.result()


class _Health:
    """The health of a receiver: it limits how many calls run at once."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = 0.0
        self._paused_until: datetime | None = None

    @property
    def is_failing(self) -> bool:
        return self._failures >= FAILURES

    def allowed(self, now: datetime) -> int:
        """Return how many calls may run at once."""
        if self._paused_until and now < self._paused_until:
            return 0
        return 1 if self.is_failing else CONCURRENCY

    def count(self, response: WebhookReply, now: datetime) -> None:
        """Count a response. After enough failures, or a Retry-After, pause."""
        if not response.is_overload:
            self._failures, self._pause = 0, 0.0  # a Retry-After of another call still holds
            return
        self._failures += 1
        if response.retry_after:
            self._pause_until(now + min(response.retry_after, MAX_RETRY_AFTER))
        elif self.is_failing and (self._paused_until is None or now >= self._paused_until):
            first, longest = PROBE_SECONDS
            self._pause = min(max(first, 2 * self._pause), longest)
            self._pause_until(now + timedelta(seconds=self._pause))

    def _pause_until(self, moment: datetime) -> None:
        self._paused_until = max(self._paused_until or moment, moment)
