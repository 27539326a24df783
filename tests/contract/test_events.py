"""The promises of Events, on every adapter."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, event, func, select
from sqlalchemy.engine import Engine

from adapters.memory.events import MemoryEvents
from adapters.sql.database import BATCH, Database
from adapters.sql.events import SqlEvents, insert_events
from adapters.sql.tables import audit_events, webhook_deliveries
from application.ports.events import Events
from domain.errors import StoreUnavailable
from domain.event import SYSTEM, Cause, Event, EventPolicy, EventQuery, EventType
from support.clock import Clock
from support.places import DATABASES, TECHNOLOGIES

pytestmark = pytest.mark.anyio

ANN = Cause.admin("ann", "203.0.113.7", "spam")
POLICY = EventPolicy(subscriptions={"all": ("*",), "users": ("user.*",), "none": ("scan.*",)})
QUIET = EventPolicy()
LOUD = EventPolicy(audit_sessions=True)

Storage = str | Database


def open_events(place: Storage, policy: EventPolicy = QUIET) -> Events:
    """Return Events at a place: `memory`, or an open database."""
    return MemoryEvents(policy) if isinstance(place, str) else SqlEvents(place, policy)


@pytest.fixture
async def place(user_place: str) -> AsyncIterator[Storage]:
    """A place of events."""
    if user_place == "memory":
        yield user_place
        return
    async with Database(user_place) as database:
        yield database


def new_id() -> str:
    """Return an id of a user that no other test uses."""
    return str(uuid.uuid4())


def new_event(clock: Clock, type: EventType = EventType.USER_BLOCKED, cause: Cause = ANN, **more: str) -> Event:  # noqa: A002  # the name of the field
    """Return a new event of now."""
    return Event.of(type, cause, clock.now, **{"user_id": new_id(), **more})


async def deliveries_of(events: Events, wanted: Event) -> dict[str, Event]:
    """Return the events of the deliveries of one event, by endpoint."""
    if isinstance(events, MemoryEvents):
        return {endpoint: each.event for (endpoint, id_), each in events.deliveries.items() if id_ == wanted.id}
    assert isinstance(events, SqlEvents)
    rows = await events._database.read(lambda connection: _deliveries(connection, wanted))
    assert {(row.attempts, row.due_at, row.event_time) for row in rows} <= {(0, wanted.time, wanted.time)}
    return {row.endpoint: msgspec.json.decode(row.event, type=Event) for row in rows}


def _deliveries(connection: Connection, wanted: Event) -> Sequence[Row[tuple[object, ...]]]:
    return connection.execute(select(webhook_deliveries).where(webhook_deliveries.c.event_id == wanted.id)).all()


async def test_an_event_is_found_unchanged(place: Storage, clock: Clock) -> None:
    """An event is returned with all its fields, and with its time in UTC to the microsecond."""
    events, full = open_events(place, LOUD), new_event(clock, EventType.SESSION_ENDED, session_id="5" * 32, app="wx1")
    bare = Event.of(EventType.KEY_REENCRYPTED, SYSTEM, clock.now)
    await events.add([full, bare])
    found = await events.find(EventQuery(user_id=full.user_id))
    without_user = await events.find(EventQuery(type=EventType.KEY_REENCRYPTED, since=clock.now))

    assert found == [full]
    assert (found[0].time.microsecond, found[0].time.tzinfo) == (123456, UTC)
    assert isinstance(found[0].type, EventType)
    assert bare in without_user


async def test_nothing_is_added_for_no_events(place: Storage) -> None:
    """An empty list of events is accepted."""
    await open_events(place, POLICY).add([])


async def test_an_event_is_added_once(place: Storage, clock: Clock) -> None:
    """An event that is added again, also with new ones, stays one event with one delivery for each endpoint."""
    events, first, second = open_events(place, POLICY), new_event(clock), new_event(clock)
    await events.add([first])
    await events.add([first, second, first])

    assert await events.find(EventQuery(user_id=first.user_id)) == [first]
    assert await events.find(EventQuery(user_id=second.user_id)) == [second]
    assert await deliveries_of(events, first) == {"all": first, "users": first}


async def test_concurrent_calls_add_an_event_once(place: Storage, clock: Clock) -> None:
    """Concurrent calls with the same events succeed, in any order of the events, and add each once."""
    events, user_id = open_events(place, POLICY), new_id()
    batch = [new_event(clock, user_id=user_id) for _ in range(50)]
    await asyncio.gather(*(events.add(batch if number % 2 else batch[::-1]) for number in range(8)))

    assert len(await events.find(EventQuery(user_id=user_id))) == 50


async def test_the_policy_says_what_is_audited(place: Storage, clock: Clock) -> None:
    """Events about sessions are in the audit trail only if the policy says so; all others always are."""
    user_id = new_id()
    both = [new_event(clock, kind, user_id=user_id) for kind in (EventType.SESSION_STARTED, EventType.SCAN_APPROVED)]
    quiet, loud = open_events(place, QUIET), open_events(place, LOUD)
    await quiet.add(both)
    before = await quiet.find(EventQuery(user_id=user_id))
    await loud.add(both)
    after = await loud.find(EventQuery(user_id=user_id))

    assert before == [both[1]]
    assert sorted(after, key=lambda each: each.type) == sorted(both, key=lambda each: each.type)


async def test_the_policy_says_what_is_delivered(place: Storage, clock: Clock) -> None:
    """Each endpoint has a delivery of each event that it subscribes to, with the whole event, audited or not."""
    events, user, session = open_events(place, POLICY), new_event(clock), new_event(clock, EventType.SESSION_STARTED)
    await events.add([user, session])

    assert await deliveries_of(events, user) == {"all": user, "users": user}
    assert await deliveries_of(events, session) == {"all": session}
    assert await events.find(EventQuery(user_id=session.user_id)) == []


async def test_events_are_found_newest_first(place: Storage, clock: Clock) -> None:
    """Events are returned newest first, those of the same time by id, and at most as many as asked for."""
    events, user_id = open_events(place), new_id()
    batch = [new_event(clock, user_id=user_id) for _ in range(5)]
    clock.advance(microseconds=1)
    batch += [new_event(clock, user_id=user_id) for _ in range(5)]
    await events.add(batch)
    newest_first = sorted(batch, key=lambda each: (each.time, each.id), reverse=True)

    assert await events.find(EventQuery(user_id=user_id)) == newest_first
    assert await events.find(EventQuery(user_id=user_id, limit=3)) == newest_first[:3]


async def test_every_filter_applies(place: Storage, clock: Clock) -> None:
    """Events match every filter that is given: user, type, actor and the earliest time."""
    events, user_id, actor = open_events(place), new_id(), Cause.admin(new_id()[:8])
    old = new_event(clock, EventType.USER_BLOCKED, actor, user_id=user_id)
    new = replace(old, id=new_id(), time=clock.advance(seconds=1), type=EventType.USER_UNBLOCKED)
    other = new_event(clock, EventType.USER_BLOCKED, actor)
    await events.add([old, new, other])
    name = actor.actor

    assert await events.find(EventQuery(user_id, EventType.USER_BLOCKED)) == [old]
    assert await events.find(EventQuery(actor=name, since=new.time, type=EventType.USER_UNBLOCKED)) == [new]
    assert await events.find(EventQuery(actor=name, since=old.time, user_id=user_id)) == [new, old]
    assert await events.find(EventQuery(actor=name, since=new.time + timedelta(microseconds=1))) == []
    assert {each.id for each in await events.find(EventQuery(actor=name))} == {old.id, new.id, other.id}
    assert await events.find(EventQuery(user_id=user_id, actor="cli")) == []


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 300, "用户", "\x00", "cli\x00", "\ud800", "' OR ''='", "%", "👩‍👩‍👧"], ids=ascii
)
async def test_any_text_can_be_searched_for(place: Storage, clock: Clock, text: str) -> None:
    """A filter with any text finds only what equals it."""
    events = open_events(place)
    await events.add([new_event(clock)])

    assert await events.find(EventQuery(user_id=text)) == []
    assert await events.find(EventQuery(type=text)) == []
    assert await events.find(EventQuery(actor=text)) == []
    assert await events.find(EventQuery(before=(clock.now, text), user_id=text)) == []


NAMES = ["ann", "ANN", "Ann", "ånn", " ann", "ann\u200b", "安", "👩"]
"""Names that are one name to databases which compare as people do."""


async def test_names_that_look_alike_are_kept_apart(place: Storage, clock: Clock) -> None:
    """Actors, types and users are compared letter for letter: by case, accents, and invisible characters."""
    events, suffix = open_events(place), new_id()
    actors = [f"client:{suffix}{name}" for name in NAMES]
    added = [new_event(clock, cause=Cause(actor)) for actor in actors]
    await events.add(added)
    found = [await events.find(EventQuery(actor=actor)) for actor in actors]
    user_id = added[0].user_id or ""

    assert found == [[event] for event in added]
    assert await events.find(EventQuery(actor=f"{actors[0]} ")) == []
    assert await events.find(EventQuery(user_id=f"{user_id} ")) == []
    assert await events.find(EventQuery(user_id=user_id, type="user.blocked ")) == []
    assert await events.find(EventQuery(user_id=user_id, type="USER.BLOCKED")) == []


async def test_a_client_may_have_any_name(place: Storage, clock: Clock) -> None:
    """An event of a client with the longest name, or with a blank at its end, is kept, and found by its actor."""
    events, suffix = open_events(place), new_id()
    added = [new_event(clock, cause=Cause.client(name)) for name in (suffix + "名" * 219, f"{suffix} ")]
    await events.add(added)

    assert [await events.find(EventQuery(actor=event.actor)) for event in added] == [[event] for event in added]


async def test_any_time_can_be_searched_for(place: Storage, clock: Clock) -> None:
    """The first and the last time that there are in UTC are times like others."""
    events, event = open_events(place), new_event(clock)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    await events.add([event])

    assert await events.find(EventQuery(user_id=event.user_id, since=first)) == [event]
    assert await events.find(EventQuery(user_id=event.user_id, since=last)) == []
    assert await events.find(EventQuery(user_id=event.user_id, before=(first, "f"))) == []
    assert await events.find(EventQuery(user_id=event.user_id, before=(last, "f"))) == [event]


@given(size=st.integers(1, 7), times=st.lists(st.integers(0, 3), max_size=20))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_have_each_event_once(user_place: str, size: int, times: list[int]) -> None:
    """Pages of any size, with events at the same time, have each event once, in order, while others are added."""

    async def read_all() -> tuple[list[Event], list[Event]]:
        clock, user_id = Clock(), new_id()
        if user_place == "memory":
            return await _pages(open_events("memory"), clock, user_id, size, times)
        async with Database(user_place) as database:
            return await _pages(open_events(database), clock, user_id, size, times)

    expected, read = asyncio.run(read_all())

    assert read == expected


async def _pages(
    events: Events, clock: Clock, user_id: str, size: int, times: list[int]
) -> tuple[list[Event], list[Event]]:
    """Return the events in their order, and those of all pages."""
    start = clock.now
    batch = [replace(new_event(clock, user_id=user_id), time=start + timedelta(seconds=time)) for time in times]
    await events.add(batch)
    read: list[Event] = []
    query = EventQuery(user_id=user_id, limit=size)
    while page := await events.find(query):
        read += page
        query = replace(query, before=(page[-1].time, page[-1].id))
        await events.add([replace(new_event(clock, user_id=user_id), time=start + timedelta(seconds=9))])
    return sorted(batch, key=lambda each: (each.time, each.id), reverse=True), read


@pytest.fixture(params=["memory", *DATABASES])
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place of events that no other test uses."""
    return TECHNOLOGIES[request.param].find(request, tmp_path)


@pytest.fixture
async def own_place(own_url: str) -> AsyncIterator[Storage]:
    """The same, open."""
    if own_url == "memory":
        yield own_url
        return
    async with Database(own_url) as database:
        yield database


async def test_a_purge_deletes_what_is_older(own_place: Storage, clock: Clock) -> None:
    """A purge deletes all events that are older than the time, in any number, and no others."""
    events = open_events(own_place)
    old = [replace(new_event(clock), time=clock.now - timedelta(seconds=1 + n // 3)) for n in range(2 * BATCH + 1)]
    kept = new_event(clock)
    await events.add([*old, kept])

    assert await events.purge(clock.now) == len(old)
    assert await events.find(EventQuery()) == [kept]
    assert await events.purge(clock.now) == 0


async def test_a_purge_needs_no_deliveries_to_be_done(own_place: Storage, clock: Clock) -> None:
    """A purge of the audit trail deletes no deliveries."""
    events, old = open_events(own_place, POLICY), new_event(clock)
    await events.add([old])
    await events.purge(clock.now + timedelta(seconds=1))

    assert await deliveries_of(events, old) == {"all": old, "users": old}


async def test_an_unreachable_place_is_unavailable(clock: Clock) -> None:
    """Without a database, every method raises StoreUnavailable."""
    async with Database("postgresql+asyncpg://nobody@127.0.0.1:1/none") as database:
        events = SqlEvents(database, POLICY)
        for call in (events.add([new_event(clock)]), events.find(EventQuery()), events.purge(clock.now)):
            with pytest.raises(StoreUnavailable):
                await call


@pytest.mark.parametrize("user_place", DATABASES, indirect=True)
async def test_events_are_written_with_their_change(place: Storage, clock: Clock) -> None:
    """Events that are inserted in a transaction exist exactly if it is committed."""
    assert isinstance(place, Database)
    lost, kept = new_event(clock), new_event(clock)

    def roll_back(connection: Connection) -> None:
        insert_events(connection, [lost], POLICY)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await place.write(roll_back)
    await place.write(lambda connection: insert_events(connection, [kept], POLICY))
    events = open_events(place, POLICY)

    assert await events.find(EventQuery(user_id=lost.user_id)) == []
    assert await deliveries_of(events, lost) == {}
    assert await events.find(EventQuery(user_id=kept.user_id)) == [kept]


@pytest.mark.parametrize("user_place", DATABASES, indirect=True)
async def test_an_insert_is_one_statement_for_each_table(place: Storage, clock: Clock) -> None:
    """Any number of events costs one statement for each table, and a table without rows costs none."""
    assert isinstance(place, Database)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await place.write(lambda connection: insert_events(connection, [new_event(clock)] * 100, POLICY))
        both = [each for each in statements if each.startswith("INSERT")]
        statements.clear()
        session = new_event(clock, EventType.SESSION_STARTED)
        await place.write(lambda connection: insert_events(connection, [session], QUIET))
        none = [each for each in statements if each.startswith("INSERT")]
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    count = await place.read(lambda connection: connection.scalar(select(func.count()).select_from(audit_events)))

    assert len(both) == 2
    assert none == []
    assert count
