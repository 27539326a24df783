"""The promises of WebhookQueue, on every adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from adapters.memory.webhook_queue import MemoryWebhookQueue
from adapters.sql.database import BATCH, Database
from adapters.sql.tables import webhook_deliveries
from adapters.sql.webhook_queue import SqlWebhookQueue
from application.ports.webhook_queue import WebhookQueue
from domain.errors import StoreUnavailable
from domain.event import Event
from domain.webhook import Backlog, Delivery
from support.clock import Clock
from support.places import DATABASES, TECHNOLOGIES, each_place
from support.webhooks import add_deliveries, new_event

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=30)
PLACES = ["memory", *DATABASES]
in_databases = each_place(DATABASES)


@asynccontextmanager
async def open_queue(place: str) -> AsyncIterator[WebhookQueue]:
    """Open the queue at a place."""
    if place == "memory":
        yield MemoryWebhookQueue()
        return
    async with Database(place) as database:
        yield SqlWebhookQueue(database)


@pytest.fixture(scope="session", params=PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of the queue."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture
async def queue(session_place: str) -> AsyncIterator[WebhookQueue]:
    """The queue under test."""
    async with open_queue(session_place) as queue:
        yield queue


def new_endpoint() -> str:
    """Return the id of an endpoint that no other test uses."""
    return uuid4().hex[:16]


def ids(deliveries: list[Delivery]) -> list[str]:
    """Return the ids of the events, in order."""
    return [delivery.event.id for delivery in deliveries]


def events_of(clock: Clock, number: int) -> list[Event]:
    """Return events, the newest first, a second apart."""
    return [new_event(clock.now - timedelta(seconds=age)) for age in range(number)]


async def test_an_event_is_claimed_unchanged(queue: WebhookQueue, clock: Clock) -> None:
    """A claim returns the event as it was added, to the microsecond, also one with few fields and with any text."""
    endpoint = new_endpoint()
    full = new_event(clock.now, reason='引号 " 👩 and \\')
    bare = new_event(clock.now - timedelta(seconds=1), user_id=None, session_id=None, app=None, reason=None)
    await add_deliveries(queue, endpoint, full, bare)

    assert await queue.claim(endpoint, clock.now, LEASE, 10) == [
        Delivery(endpoint, bare, 0),
        Delivery(endpoint, full, 0),
    ]


async def test_the_longest_due_is_claimed_first(queue: WebhookQueue, clock: Clock) -> None:
    """Claims return what is longest due first, as many as asked for, and nothing that is due later."""
    endpoint = new_endpoint()
    events = events_of(clock, 5)
    await add_deliveries(queue, endpoint, *events, new_event(clock.now + timedelta(seconds=1)))
    first = await queue.claim(endpoint, clock.now, LEASE, 3)
    rest = await queue.claim(endpoint, clock.now, LEASE, 3)

    assert ids(first) == [event.id for event in reversed(events[2:])]
    assert ids(rest) == [events[1].id, events[0].id]
    assert await queue.claim(endpoint, clock.now, LEASE, 3) == []


async def test_endpoints_have_queues_of_their_own(queue: WebhookQueue, clock: Clock) -> None:
    """Each endpoint gets the event, and nothing of the others. What one does with it changes nothing for the other."""
    endpoints = [new_endpoint(), new_endpoint()]
    event = new_event(clock.now)
    for endpoint in endpoints:
        await add_deliveries(queue, endpoint, event)
    (first,) = await queue.claim(endpoints[0], clock.now, LEASE, 10)
    await queue.remove([first])
    second = await queue.claim(endpoints[1], clock.now, LEASE, 10)
    await queue.postpone(first, clock.now)

    assert second == [Delivery(endpoints[1], event, 0)]
    assert await queue.claim(endpoints[0], clock.now, LEASE, 10) == []
    assert ids(await queue.claim(endpoints[1], clock.advance(seconds=30), LEASE, 10)) == [event.id]


async def test_of_concurrent_claims_one_gets_each(queue: WebhookQueue, clock: Clock) -> None:
    """Of many concurrent claims, each delivery is got by one, until all are got."""
    endpoint = new_endpoint()
    events = events_of(clock, 60)
    await add_deliveries(queue, endpoint, *events)
    got: list[str] = []
    while len(got) < len(events):
        rounds = await asyncio.gather(*(queue.claim(endpoint, clock.now, LEASE, 7) for _ in range(8)))
        got += [each for claimed in rounds for each in ids(claimed)]
        assert any(rounds)

    assert sorted(got) == sorted(event.id for event in events)
    assert await queue.claim(endpoint, clock.now, LEASE, 7) == []


@in_databases
async def test_of_concurrent_processes_one_gets_each(session_place: str, clock: Clock) -> None:
    """Of claims of several processes, each delivery is got by one, while others are added and removed."""
    endpoint = new_endpoint()
    events, later = events_of(clock, 200), events_of(clock, 50)
    got: list[str] = []
    async with AsyncExitStack() as stack:
        queues = [await stack.enter_async_context(open_queue(session_place)) for _ in range(4)]
        await add_deliveries(queues[0], endpoint, *events)

        async def drain(queue: WebhookQueue) -> None:
            while len(got) < len(events) + len(later):
                claimed = await queue.claim(endpoint, clock.now, LEASE, 5)
                got.extend(ids(claimed))
                await queue.remove(claimed)
                await asyncio.sleep(0)  # SQLite's reads do not wait

        async def add() -> None:
            for event in later:
                await add_deliveries(queues[1], endpoint, event)

        await asyncio.gather(add(), *(drain(queue) for queue in queues))

        assert sorted(got) == sorted(event.id for event in [*events, *later])
        assert endpoint not in await queues[0].backlog()


async def test_a_lease_that_ends_gives_the_delivery_to_another(queue: WebhookQueue, clock: Clock) -> None:
    """During the lease no one else gets a delivery. After it, another claim does, with the same event and count."""
    endpoint = new_endpoint()
    await add_deliveries(queue, endpoint, new_event(clock.now))
    first = await queue.claim(endpoint, clock.now, LEASE, 10)
    during = await queue.claim(endpoint, clock.advance(seconds=29), LEASE, 10)
    after = await queue.claim(endpoint, clock.advance(seconds=1), LEASE, 10)

    assert (during, after) == ([], first)
    assert len(first) == 1


async def test_a_postponed_delivery_comes_later(queue: WebhookQueue, clock: Clock) -> None:
    """A postponed delivery is due at its new time, with one attempt more, after those that are due before it."""
    endpoint = new_endpoint()
    late, early = new_event(clock.now - timedelta(seconds=1)), new_event(clock.now)
    await add_deliveries(queue, endpoint, late, early)
    for delivery in await queue.claim(endpoint, clock.now, LEASE, 10):
        await queue.postpone(delivery, clock.now + timedelta(seconds=60 if delivery.event == late else 50))

    assert await queue.claim(endpoint, clock.advance(seconds=49), LEASE, 10) == []
    again = await queue.claim(endpoint, clock.advance(seconds=11), LEASE, 10)
    assert again == [Delivery(endpoint, early, 1), Delivery(endpoint, late, 1)]
    await queue.postpone(again[0], clock.now)
    assert await queue.claim(endpoint, clock.now, LEASE, 10) == [Delivery(endpoint, early, 2)]


async def test_what_is_removed_does_not_come_back(queue: WebhookQueue, clock: Clock) -> None:
    """Removed deliveries are gone, also after their lease. Removing again, and postponing them, does nothing."""
    endpoint = new_endpoint()
    await add_deliveries(queue, endpoint, *events_of(clock, 3))
    claimed = await queue.claim(endpoint, clock.now, LEASE, 10)
    for _ in range(2):
        await queue.remove(claimed[:2])
    await queue.postpone(claimed[0], clock.now)
    await queue.remove([])

    assert ids(await queue.claim(endpoint, clock.advance(hours=1), LEASE, 10)) == [claimed[2].event.id]


async def test_many_are_removed_at_once(queue: WebhookQueue, clock: Clock) -> None:
    """One call removes more deliveries than one statement names, of several endpoints."""
    first, second = new_endpoint(), new_endpoint()
    events = events_of(clock, BATCH + 1)
    for endpoint in (first, second):
        await add_deliveries(queue, endpoint, *events)
    await queue.remove([Delivery(endpoint, event, 0) for event in events for endpoint in (first, second)])

    assert {first, second} & set(await queue.backlog()) == set()


async def test_old_deliveries_of_other_endpoints_are_removed(queue: WebhookQueue, clock: Clock) -> None:
    """Of endpoints that are not named, deliveries of old events are removed and counted. Newer ones stay."""
    clock.advance(hours=1)
    known, other = new_endpoint(), new_endpoint()
    before = clock.now - timedelta(minutes=30)
    everyone = [*(await queue.backlog()), known]
    old = [new_event(before - timedelta(seconds=1)) for _ in range(BATCH + 1)]
    for endpoint in (known, other):
        await add_deliveries(queue, endpoint, *old, new_event(before))

    assert await queue.remove_others(everyone, before) == len(old)
    assert await queue.remove_others(everyone, before) == 0
    backlog = await queue.backlog()
    assert (backlog[known].waiting, backlog[other]) == (len(old) + 1, Backlog(1, before))


async def test_the_backlog_counts_what_waits(queue: WebhookQueue, clock: Clock) -> None:
    """The backlog has all deliveries, claimed and postponed ones, too, with the time of the oldest event."""
    endpoint, idle = new_endpoint(), new_endpoint()
    events = events_of(clock, 4)
    await add_deliveries(queue, endpoint, *events)
    oldest, _ = await queue.claim(endpoint, clock.now, LEASE, 2)
    await queue.postpone(oldest, clock.now + timedelta(days=1))
    before = (await queue.backlog())[endpoint]
    await queue.remove([oldest])
    backlog = await queue.backlog()

    assert before == Backlog(4, events[3].time)
    assert backlog[endpoint] == Backlog(3, events[2].time)
    assert idle not in backlog


@in_databases
async def test_a_record_of_a_newer_release_waits(
    queue: WebhookQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that this release cannot read stays, keeps no other from being claimed, and is logged once."""
    assert isinstance(queue, SqlWebhookQueue)
    endpoint = new_endpoint()
    newer, ours = new_event(clock.now - timedelta(seconds=1)), new_event(clock.now)
    await add_deliveries(queue, endpoint, newer, ours)
    changed = update(webhook_deliveries).where(webhook_deliveries.c.event_id == newer.id)
    await queue._database.write_one(
        lambda connection: connection.execute(changed.values(event='{"id":"1","type":"user.renamed"}'))
    )

    assert ids(await queue.claim(endpoint, clock.now, LEASE, 10)) == [ours.id]
    assert ids(await queue.claim(endpoint, clock.advance(seconds=LEASE.total_seconds()), LEASE, 10)) == [ours.id]
    assert (await queue.backlog())[endpoint].waiting == 2
    assert len(caplog.records) == 1


CALLS: dict[str, Callable[[WebhookQueue, Delivery], Awaitable[object]]] = {
    "claim": lambda queue, delivery: queue.claim(delivery.endpoint, delivery.event.time, LEASE, 1),
    "remove": lambda queue, delivery: queue.remove([delivery]),
    "postpone": lambda queue, delivery: queue.postpone(delivery, delivery.event.time),
    "remove_others": lambda queue, delivery: queue.remove_others([], delivery.event.time),
    "backlog": lambda queue, _: queue.backlog(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("technology", DATABASES)
async def test_a_missing_server_raises_store_unavailable(
    technology: str,
    call: Callable[[WebhookQueue, Delivery], Awaitable[object]],
    clock: Clock,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each operation on a queue whose server does not answer raises StoreUnavailable."""
    unreachable_url = TECHNOLOGIES[technology].unreachable_url
    assert unreachable_url
    async with open_queue(unreachable_url(tmp_path_factory.mktemp("nowhere"))) as queue:
        with pytest.raises(StoreUnavailable):
            await call(queue, Delivery(new_endpoint(), new_event(clock.now), 0))
