"""Delivering events to webhooks: what ends a delivery, what is repeated, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from adapters.memory.webhook_queue import MemoryWebhookQueue
from adapters.memory.webhook_sender import MemoryWebhookSender
from application import webhooks as module
from application.webhooks import CONCURRENCY, FAILURES, LEASE, Webhooks
from domain.errors import StoreUnavailable
from domain.event import Event
from domain.webhook import LIFETIME, Attempt, Backlog, Delivery, DeliveryOutcome, WebhookEndpoint, WebhookReply
from support.clock import Clock
from support.webhooks import SECRET, new_event

pytestmark = pytest.mark.anyio

GOOD = WebhookEndpoint("https://good.example.com/", (SECRET,))
OTHER = WebhookEndpoint("https://other.example.com/", (SECRET,))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds between polls."""
    monkeypatch.setattr(module, "POLL_SECONDS", (0.002, 0.005))
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.005)


class World:
    """A queue, a sender, and what was observed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.queue = MemoryWebhookQueue()
        self.sender = MemoryWebhookSender()
        self.attempts: list[Attempt] = []

    def webhooks(self, *endpoints: WebhookEndpoint) -> Webhooks:
        """Return the use case."""
        return Webhooks(self.queue, self.sender, endpoints or (GOOD,), observe=self.attempts.append, clock=self.clock)

    @asynccontextmanager
    async def running(self, *endpoints: WebhookEndpoint) -> AsyncIterator[None]:
        """Deliver while the block runs."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(lane.run(stop)) for lane in self.webhooks(*endpoints).lanes]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    def respond(self, *responses: WebhookReply) -> None:
        """Let the receiver answer so, one after the other, and then 204."""
        waiting = list(responses)
        self.sender.respond = lambda _, __: waiting.pop(0) if waiting else WebhookReply(204)

    def outcomes(self) -> list[DeliveryOutcome]:
        """Return the outcomes of all attempts."""
        return [attempt.outcome for attempt in self.attempts]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # a list sends no notification
                await asyncio.sleep(0.002)

    async def waiting(self) -> int:
        """Return how many deliveries wait."""
        return sum(each.waiting for each in (await self.queue.backlog()).values())


@pytest.fixture
def world(clock: Clock) -> World:
    """A world without events."""
    return World(clock)


async def test_every_event_is_delivered_once(world: World, clock: Clock) -> None:
    """More events than calls at once are each sent once, and are gone from the queue."""
    events = [new_event(clock.now) for _ in range(5 * CONCURRENCY)]
    for event in events:
        world.queue.add(GOOD.id, event)
    async with world.running():
        await world.until(lambda: len(world.attempts) == len(events))

    assert sorted(event.id for _, event in world.sender.sent) == sorted(event.id for event in events)
    assert set(world.outcomes()) == {DeliveryOutcome.DELIVERED}
    assert await world.waiting() == 0


@pytest.mark.parametrize("status", [400, 404, 500, 301, None])
async def test_a_failure_is_repeated_after_a_pause(status: int | None, world: World, clock: Clock) -> None:
    """A delivery that fails waits for its pause, and is then sent again, with the same event."""
    event = new_event(clock.now)
    world.queue.add(GOOD.id, event)
    world.respond(WebhookReply(status))
    async with world.running():
        await world.until(lambda: len(world.attempts) == 1)
        await asyncio.sleep(0.03)
        before = len(world.sender.sent)
        clock.advance(seconds=7)
        await world.until(lambda: len(world.attempts) == 2)

    assert before == 1
    assert world.sender.sent == [(GOOD.id, event)] * 2
    assert world.outcomes() == [DeliveryOutcome.POSTPONED, DeliveryOutcome.DELIVERED]


async def test_410_ends_the_delivery(world: World, clock: Clock) -> None:
    """After 410 the event is not sent again, and other events are."""
    world.queue.add(GOOD.id, new_event(clock.now))
    world.respond(WebhookReply(410))
    async with world.running():
        await world.until(lambda: len(world.attempts) == 1)
        world.queue.add(GOOD.id, new_event(clock.now))
        await world.until(lambda: len(world.attempts) == 2)

    assert world.outcomes() == [DeliveryOutcome.GONE, DeliveryOutcome.DELIVERED]
    assert await world.waiting() == 0


async def test_retry_after_pauses_the_endpoint(world: World, clock: Clock) -> None:
    """After 503 with Retry-After nothing is sent before the time is over, even if other calls succeed."""
    for _ in range(2):
        world.queue.add(GOOD.id, new_event(clock.now))
    world.respond(WebhookReply(503, timedelta(seconds=90)))
    async with world.running():
        await world.until(lambda: len(world.attempts) == 2)
        world.queue.add(GOOD.id, new_event(clock.now))
        clock.advance(seconds=89)
        await asyncio.sleep(0.03)
        before = len(world.sender.sent)
        clock.advance(seconds=1)
        await world.until(lambda: len(world.attempts) == 4)

    assert before == 2
    assert world.outcomes() == [DeliveryOutcome.POSTPONED, *[DeliveryOutcome.DELIVERED] * 3]


async def test_an_event_is_given_up_after_three_days(world: World, clock: Clock) -> None:
    """A receiver that refuses an event for three days is sent it no more. The last attempt is observed."""
    world.queue.add(GOOD.id, new_event(clock.now))
    world.sender.respond = lambda _, __: WebhookReply(500)
    async with world.running():
        while DeliveryOutcome.GIVEN_UP not in world.outcomes():
            clock.advance(minutes=20)
            await asyncio.sleep(0.006)

    assert world.outcomes() == [DeliveryOutcome.POSTPONED] * (len(world.attempts) - 1) + [DeliveryOutcome.GIVEN_UP]
    assert 9 <= len(world.attempts) <= 13
    assert await world.waiting() == 0


async def test_an_unexpected_exception_counts_as_a_failed_attempt(world: World, clock: Clock) -> None:
    """A sender that raises is asked again with growing pauses, and given up after three days. Other events pass."""
    bad, good = new_event(clock.now), new_event(clock.now)
    for event in (bad, good):
        world.queue.add(GOOD.id, event)

    def respond(_: WebhookEndpoint, event: Event) -> WebhookReply:
        if event == bad:
            raise LookupError("secret")
        return WebhookReply(204)

    world.sender.respond = respond
    async with world.running(), asyncio.timeout(20):
        while DeliveryOutcome.GIVEN_UP not in world.outcomes():
            clock.advance(minutes=20)
            await asyncio.sleep(0.006)
    failed = [attempt for attempt in world.attempts if attempt.delivery.event == bad]

    assert 9 <= len(failed) <= 13
    assert {attempt.response for attempt in failed} == {WebhookReply(None, cause="LookupError")}
    assert [attempt.delivery.attempts for attempt in failed] == list(range(len(failed)))
    assert await world.waiting() == 0


async def test_a_dead_receiver_gets_one_event_at_a_time(world: World, clock: Clock) -> None:
    """A receiver that does not answer is asked with one event at a time. Once it is back, it gets all others."""
    for _ in range(200):
        world.queue.add(GOOD.id, new_event(clock.now))
    world.sender.respond = lambda _, __: WebhookReply(None, cause="timeout")
    async with world.running():
        await world.until(lambda: len(world.attempts) >= CONCURRENCY)
        await asyncio.sleep(0.05)
        first = len(world.attempts)
        clock.advance(seconds=1)
        await world.until(lambda: len(world.attempts) == first + 1)
        await asyncio.sleep(0.05)
        probed = len(world.attempts)
        world.respond()
        clock.advance(seconds=2)
        await world.until(lambda: world.outcomes().count(DeliveryOutcome.DELIVERED) >= 200 - probed)

    assert FAILURES <= first == CONCURRENCY
    assert probed == first + 1


async def test_old_events_for_a_dead_receiver_are_given_up_unsent(world: World, clock: Clock) -> None:
    """While a receiver is dead, events that are older than three days are given up without a call."""
    world.sender.respond = lambda _, __: WebhookReply(None, cause="timeout")
    for _ in range(CONCURRENCY):
        world.queue.add(GOOD.id, new_event(clock.now))
    async with world.running():
        await world.until(lambda: len(world.attempts) == CONCURRENCY)
        for _ in range(20):
            world.queue.add(GOOD.id, new_event(clock.now - LIFETIME - timedelta(hours=1)))
        clock.advance(seconds=1)
        await world.until(lambda: world.outcomes().count(DeliveryOutcome.GIVEN_UP) == 20)
        unsent = [attempt for attempt in world.attempts if attempt.response is None]

    assert len(unsent) == 20


class SlowSender(MemoryWebhookSender):
    """A sender to a receiver that answers when `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def send(self, endpoint: WebhookEndpoint, event: Event, now: datetime) -> WebhookReply:
        """See WebhookSender."""
        response = await super().send(endpoint, event, now)
        if endpoint.id != GOOD.id:
            await self.open.wait()
        return response


async def test_a_slow_receiver_delays_no_other(world: World, clock: Clock) -> None:
    """While a receiver answers nothing, another one gets all of its events."""
    world.sender = slow = SlowSender()
    for _ in range(3 * CONCURRENCY):
        for endpoint in (GOOD, OTHER):
            world.queue.add(endpoint.id, new_event(clock.now))
    async with world.running(GOOD, OTHER):
        await world.until(lambda: len(world.attempts) == 3 * CONCURRENCY)
        to_other = sum(endpoint == OTHER.id for endpoint, _ in slow.sent)
        slow.open.set()

    assert to_other == CONCURRENCY
    assert {attempt.endpoint for attempt in world.attempts[: 3 * CONCURRENCY]} == {GOOD}


async def test_a_slow_call_does_not_delay_the_others_of_its_endpoint(world: World, clock: Clock) -> None:
    """While one event is not answered, the others to the same endpoint are sent."""
    world.sender = slow = SlowSender()
    held = new_event(clock.now - timedelta(seconds=1))
    world.queue.add(OTHER.id, held)
    free = slow.send

    async def send(endpoint: WebhookEndpoint, event: Event, now: datetime) -> WebhookReply:
        return await free(endpoint if event == held else GOOD, event, now)

    slow.send = send  # type: ignore[method-assign]  # one slow event
    for _ in range(200):
        world.queue.add(OTHER.id, new_event(clock.now))
    async with world.running(OTHER):
        await world.until(lambda: len(world.attempts) == 200)
        slow.open.set()

    assert len(world.attempts) == 201


async def test_calls_under_way_are_finished_at_the_end(world: World, clock: Clock) -> None:
    """When it stops, calls under way are finished and removed, and no new one starts."""
    world.sender = slow = SlowSender()
    for _ in range(CONCURRENCY + 1):
        world.queue.add(OTHER.id, new_event(clock.now))
    stop = asyncio.Event()
    (lane,) = world.webhooks(OTHER).lanes
    task = asyncio.create_task(lane.run(stop))
    await world.until(lambda: len(slow.sent) == CONCURRENCY)
    stop.set()
    slow.open.set()
    await task

    assert len(slow.sent) == CONCURRENCY
    assert await world.waiting() == 1


async def test_calls_that_are_cancelled_are_sent_again(world: World, clock: Clock) -> None:
    """A call that does not finish is cancelled, and its event is sent again after the lease."""
    world.sender = slow = SlowSender()
    event = new_event(clock.now)
    world.queue.add(OTHER.id, event)
    (lane,) = world.webhooks(OTHER).lanes
    task = asyncio.create_task(lane.run(asyncio.Event()))
    await world.until(lambda: len(slow.sent) == 1)
    task.cancel()
    await asyncio.wait([task])
    await lane.aclose()
    clock.advance(seconds=LEASE.total_seconds())

    assert await world.queue.claim(OTHER.id, clock.now, LEASE, 1) == [Delivery(OTHER.id, event, 0)]


class FailingQueue(MemoryWebhookQueue):
    """A queue that cannot remove for some time."""

    failures = 2

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """See WebhookQueue."""
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("The database does not answer")
        await super().remove(deliveries)


async def test_a_result_is_not_lost_with_the_database(world: World, clock: Clock) -> None:
    """When the database fails after a call, the result is stored as soon as it answers, and nothing is sent twice."""
    world.queue = FailingQueue()
    world.queue.add(GOOD.id, new_event(clock.now))
    (lane,) = world.webhooks().lanes
    stop = asyncio.Event()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await lane.run(stop)
    task = asyncio.create_task(lane.run(stop))
    while await world.waiting():  # noqa: ASYNC110  # a queue sends no notification
        await asyncio.sleep(0.005)
    stop.set()
    await task

    assert len(world.sender.sent) == 1


class SlowQueue(MemoryWebhookQueue):
    """A queue that takes a moment to remove, and that can refuse to claim."""

    refuses_claims = False

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        if self.refuses_claims:
            raise StoreUnavailable("The database does not answer")
        return await super().claim(endpoint, now, lease, limit)

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """See WebhookQueue."""
        await asyncio.sleep(0.02)
        await super().remove(deliveries)


async def test_a_claim_that_fails_does_not_cut_off_a_result(world: World, clock: Clock) -> None:
    """When a claim fails while a result is stored, the result is stored before the lane reports the failure."""
    world.queue = queue = SlowQueue()
    world.queue.add(GOOD.id, new_event(clock.now))

    def respond(*_: object) -> WebhookReply:
        queue.refuses_claims = True
        return WebhookReply(204)

    world.sender.respond = respond
    (lane,) = world.webhooks().lanes
    with pytest.raises(StoreUnavailable):
        await lane.run(asyncio.Event())

    assert world.outcomes() == [DeliveryOutcome.DELIVERED]
    assert await world.waiting() == 0


async def test_what_ends_while_results_are_stored_is_stored_next(world: World, clock: Clock) -> None:
    """Events that are given up while others are removed are removed, too."""
    world.queue = SlowQueue()
    world.sender.respond = lambda _, __: WebhookReply(None, cause="timeout")
    for _ in range(10 * CONCURRENCY):
        world.queue.add(GOOD.id, new_event(clock.now - LIFETIME - timedelta(hours=1)))
    async with world.running():
        for _ in range(10):
            clock.advance(seconds=60)
            await asyncio.sleep(0.05)
        await world.until(lambda: len(world.attempts) == 10 * CONCURRENCY)

    assert set(world.outcomes()) == {DeliveryOutcome.GIVEN_UP}
    assert await world.waiting() == 0


async def test_the_backlog_names_every_endpoint(world: World, clock: Clock) -> None:
    """The backlog has each endpoint, None for one for which nothing waits, and no others."""
    world.queue.add(GOOD.id, new_event(clock.now))
    world.queue.add("another", new_event(clock.now))

    assert await world.webhooks(GOOD, OTHER).backlog() == [(GOOD, Backlog(1, clock.now)), (OTHER, None)]


async def test_deliveries_of_a_removed_endpoint_stay_three_days(world: World, clock: Clock) -> None:
    """What an endpoint that is no longer configured did not get is removed after three days."""
    world.queue.add(GOOD.id, new_event(clock.now))
    world.queue.add("removed", new_event(clock.now))
    clock.advance(days=3)
    early = await world.webhooks().remove_orphans()
    clock.advance(seconds=1)

    assert (early, await world.webhooks().remove_orphans()) == (0, 1)
    assert await world.waiting() == 1
