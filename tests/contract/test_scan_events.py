"""Events about scans: written with the change by every DeviceGrantStore."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest

from adapters.memory.device_grant_store import MemoryDeviceGrantStore
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.redis.device_grant_store import RedisDeviceGrantStore
from adapters.redis.session_events import RedisSessionEvents
from adapters.sql.database import Database
from adapters.sql.device_grant_store import SqlDeviceGrantStore
from adapters.sql.events import SqlEvents
from application.ports.device_grant_store import DeviceGrantStore
from contract.test_device_grant_store import PLACES, new_grant, seen
from domain.device_grant import DeviceGrant, GrantState
from domain.errors import StoreUnavailable
from domain.event import DEFAULT_POLICY, Cause, Event, EventQuery, EventType
from support.clock import Clock
from support.events import Kept
from support.interruptions import interrupted
from support.places import DATABASES, TECHNOLOGIES, each_place
from support.users import unique

pytestmark = pytest.mark.anyio

MOST_STEPS = 20
"""More steps than an answer to a scan has."""


@dataclass
class Recorded:
    """A store of device grants, and the events of its changes."""

    store: DeviceGrantStore
    clock: Clock
    published: Kept
    find: Callable[[str], Awaitable[list[Event]]]
    """Returns the events about a user that are kept."""

    async def seen(self) -> DeviceGrant:
        """Return a stored grant that a user of its own has seen."""
        grant = seen(new_grant(self.clock), unique(""))
        await self.store.add(grant)
        return grant

    async def events_of(self, grant: DeviceGrant) -> list[Event]:
        """Return the events about the user of this grant."""
        return await self.find(grant.user_id or "")

    def published_of(self, grant: DeviceGrant) -> list[Event]:
        """Return the published events about the user of this grant."""
        return [event for event in self.published.events if event.user_id == grant.user_id]


def answered(grant: DeviceGrant, clock: Clock) -> tuple[DeviceGrant, Event]:
    """Return the grant after its user approves it, and the event of the approval."""
    approved = replace(grant, state=GrantState.APPROVED, session_id="0" * 32)
    return approved, approved.answered_event(Cause.user("192.0.2.7"), clock.now)


@asynccontextmanager
async def open_recorded(
    place: str,
    clock: Clock,
    in_redis: type[RedisDeviceGrantStore] = RedisDeviceGrantStore,
    in_sql: type[SqlDeviceGrantStore] = SqlDeviceGrantStore,
) -> AsyncIterator[Recorded]:
    """Open a store at a place. The stores in memory, and their events, are of one process."""
    published = Kept()
    if place == "memory":
        store = MemoryDeviceGrantStore(published.publish)
        yield Recorded(store, clock, published, _finder(published, _nothing_to_relay))
    elif place.startswith("redis"):
        async with create_client(place) as redis:
            relay, kept = RedisSessionEvents(redis), Kept()

            async def relay_all() -> None:
                await relay.relay(kept.add)

            yield Recorded(in_redis(redis, published.publish), clock, published, _finder(kept, relay_all))
    else:
        async with Database(place) as database:
            events = SqlEvents(database, DEFAULT_POLICY)
            store_in_sql = in_sql(database, publish=published.publish)
            yield Recorded(store_in_sql, clock, published, lambda user_id: events.find(EventQuery(user_id=user_id)))


async def _nothing_to_relay() -> None:
    """Do nothing."""


def _finder(kept: Kept, relay: Callable[[], Awaitable[None]]) -> Callable[[str], Awaitable[list[Event]]]:
    async def find(user_id: str) -> list[Event]:
        await relay()
        return [event for event in kept.events if event.user_id == user_id]

    return find


@pytest.fixture(scope="session", params=PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of device grants."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture
async def recorded(session_place: str, clock: Clock) -> AsyncIterator[Recorded]:
    """The store under test."""
    async with open_recorded(session_place, clock) as opened:
        yield opened


async def test_a_change_has_the_event_that_came_with_it(recorded: Recorded) -> None:
    """The event of a change is kept and published as it was given, once."""
    grant = await recorded.seen()
    approved, event = answered(grant, recorded.clock)

    assert await recorded.store.replace(grant, approved, event)
    assert await recorded.events_of(grant) == [event]
    assert recorded.published_of(grant) == [event]
    assert (event.type, event.ip, event.user_id) == (EventType.SCAN_APPROVED, "192.0.2.7", grant.user_id)


async def test_a_change_that_does_not_take_place_has_no_event(recorded: Recorded) -> None:
    """A change from another state than the stored one, or of an unknown grant, writes no event."""
    grant, unknown = await recorded.seen(), seen(new_grant(recorded.clock), unique(""))
    changed = replace(grant, state=GrantState.DENIED)
    await recorded.store.replace(grant, changed)
    for refused in (grant, unknown):
        approved, event = answered(refused, recorded.clock)

        assert not await recorded.store.replace(refused, approved, event)
        assert await recorded.events_of(refused) == []
        assert recorded.published_of(refused) == []


async def test_a_change_without_an_event_writes_none(recorded: Recorded) -> None:
    """A look at a scan changes its grant, and has no event."""
    grant = await recorded.seen()
    approved, _ = answered(grant, recorded.clock)

    assert await recorded.store.replace(grant, approved)
    assert await recorded.events_of(grant) == []


async def test_of_concurrent_changes_the_one_that_happens_has_the_event(recorded: Recorded) -> None:
    """Of twenty concurrent answers one happens, and only its event is kept."""
    grant = await recorded.seen()
    answers = [answered(grant, recorded.clock) for _ in range(20)]
    outcomes = await asyncio.gather(*(recorded.store.replace(grant, new, event) for new, event in answers))
    won = answers[outcomes.index(True)][1]

    assert outcomes.count(True) == 1
    assert await recorded.events_of(grant) == [won]
    assert recorded.published_of(grant) == [won]


@each_place(["redis", *DATABASES])
async def test_no_interruption_separates_an_event_from_its_change(recorded: Recorded, session_place: str) -> None:
    """Whenever the store stops answering, a grant that changed has its event, and one that did not has none."""
    await check_interruptions(recorded, session_place, open_grants)


def open_grants(place: RedisClient | Database) -> DeviceGrantStore:
    """Return a store of device grants."""
    return SqlDeviceGrantStore(place) if isinstance(place, Database) else RedisDeviceGrantStore(place)


async def check_interruptions(
    recorded: Recorded, place: str, open_store: Callable[[RedisClient | Database], DeviceGrantStore]
) -> None:
    """Check the promise for an approval."""
    for step in range(MOST_STEPS):
        grant = await recorded.seen()
        approved, event = answered(grant, recorded.clock)
        async with interrupted(place, step) as (client, is_interrupted):
            with suppress(StoreUnavailable):
                await open_store(client).replace(grant, approved, event)
            was_interrupted = is_interrupted()
        found = await recorded.store.find(grant.scene)

        assert found in (grant, approved)
        assert await recorded.events_of(grant) == ([event] if found == approved else [])
        if not was_interrupted:
            break
    assert not was_interrupted
    assert step > 0
