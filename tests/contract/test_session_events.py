"""Events about sessions: written with the change by every SessionStore, and relayed by its SessionEvents."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from sqlalchemy import select, update

from adapters.redis import session_events as redis_module
from adapters.redis.connections import RedisClient
from adapters.redis.session_events import EventStreams, RedisSessionEvents
from adapters.redis.session_store import name_of
from adapters.sql import session_events as sql_module
from adapters.sql.database import Database
from adapters.sql.session_events import SqlSessionEvents
from adapters.sql.tables import sessions as session_rows
from application.ports.session_store import SessionStore
from domain.errors import StoreUnavailable
from domain.event import DEFAULT_POLICY, Cause, Event, EventPolicy, EventType
from domain.session import EndedSession, EndReason, Session
from domain.session_key import SessionKey
from support.clock import Clock
from support.events import Kept
from support.interruptions import interrupted
from support.places import DATABASES, IN_REDIS, each_place
from support.sessions import KEYS, PHONE, Scenario, after
from support.stores import open_redis, open_sql

pytestmark = pytest.mark.anyio

AUDITED = EventPolicy(audit_sessions=True)
OPERATOR = Cause.admin("ann", "192.0.2.7", "stolen phone")
NO_LIMIT = 0
MOST_STEPS = 100
"""More steps than a login and a log-out have."""

not_in_memory = each_place([*IN_REDIS, "redis-sentinel", "sqlite", "postgresql", "mariadb"])
in_redis = each_place(IN_REDIS)


class Audited:
    """A store that writes events about sessions, and what was relayed of it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.store: SessionStore = scenario.environment.open(KEYS, AUDITED)[0]
        self.kept = Kept()

    async def start(self, user_id: str, limit: int = NO_LIMIT) -> Session:
        """Start a session of the user, one second after the one before."""
        self.scenario.clock.advance(seconds=1)
        session = self.scenario.new(user_id, PHONE)
        await self.store.start(session, SessionKey(f"key of {session.id}"), limit)
        return session

    async def events_of(self, *sessions: Session) -> list[Event]:
        """Relay all events, and return those of these sessions, in the order of their time."""
        await self.scenario.environment.events.relay(self.kept.add)
        ids = {session.id for session in sessions}
        return sorted((event for event in self.kept.events if event.session_id in ids), key=lambda event: event.time)


@pytest.fixture
def audited(scenario: Scenario) -> Audited:
    """The store under test, which writes events."""
    return Audited(scenario)


async def test_a_start_and_an_end_have_an_event_each(audited: Audited) -> None:
    """Events say which session of which user in which app started or ended, when, by whom, from where and why."""
    session = await audited.start(await audited.scenario.user())
    now = audited.scenario.clock.advance(seconds=5)
    await audited.store.end([session], EndReason.ENDED, now, OPERATOR)
    events = await audited.events_of(session)

    assert [event.type for event in events] == [EventType.SESSION_STARTED, EventType.SESSION_ENDED]
    started, ended = events
    app = session.identity.appid.value
    assert (started.time, started.actor) == (session.created_at, "user")
    assert (started.user_id, started.app, started.ip) == (session.user_id, app, session.device.ip)
    assert (ended.time, ended.actor) == (now, "admin:ann")
    assert (ended.user_id, ended.app, ended.ip) == (session.user_id, app, "192.0.2.7")
    assert ended.reason == "session_ended"
    assert started.id != ended.id


async def test_an_event_is_relayed_once(audited: Audited) -> None:
    """After a relay, no event is left."""
    session = await audited.start(await audited.scenario.user())
    first = await audited.events_of(session)
    audited.kept.events.clear()

    assert len(first) == 1
    assert await audited.events_of(session) == []


async def test_events_before_and_after_a_relay_are_all_there(audited: Audited) -> None:
    """A session that ends after its start was relayed has both events."""
    session = await audited.start(await audited.scenario.user())
    await audited.events_of(session)
    await audited.store.end([session], EndReason.ENDED, audited.scenario.clock.advance(seconds=1), OPERATOR)

    assert [event.type for event in await audited.events_of(session)] == [
        EventType.SESSION_STARTED,
        EventType.SESSION_ENDED,
    ]


async def test_a_login_over_the_limit_tells_which_sessions_it_replaced(audited: Audited) -> None:
    """Each session that a login ends has an event with the app, the user as the actor, and the reason."""
    user_id = await audited.scenario.user()
    first = await audited.start(user_id, limit=1)
    second = await audited.start(user_id, limit=1)
    events = await audited.events_of(first)

    assert [event.type for event in events] == [EventType.SESSION_STARTED, EventType.SESSION_ENDED]
    ended = events[1]
    assert (ended.reason, ended.actor) == ("session_replaced", "user")
    assert (ended.user_id, ended.app) == (user_id, first.identity.appid.value)
    assert [event.type for event in await audited.events_of(second)] == [EventType.SESSION_STARTED]


async def test_an_end_that_changes_nothing_has_no_event(audited: Audited) -> None:
    """A session that ended before has one event of its end, with the first reason."""
    session = await audited.start(await audited.scenario.user())
    for reason in (EndReason.ENDED, EndReason.REPLACED):
        await audited.store.end([session], reason, audited.scenario.clock.advance(seconds=1), OPERATOR)
    unknown = audited.scenario.new(session.user_id)
    await audited.store.end([unknown], EndReason.ENDED, audited.scenario.clock.now, OPERATOR)

    assert [event.reason for event in await audited.events_of(session)] == [None, "session_ended"]
    assert await audited.events_of(unknown) == []


async def test_the_end_of_a_moved_session_has_the_user_of_now(audited: Audited) -> None:
    """A session that a merge gave to another user ends as that user's, also by a caller who does not know it yet."""
    one, into = await audited.scenario.user(), await audited.scenario.user()
    session = await audited.start(one)
    await audited.store.move(one, into)
    [moved] = await audited.store.list_for_user(into)
    await audited.store.end([moved], EndReason.ENDED, audited.scenario.clock.advance(seconds=1), OPERATOR)

    assert [event.user_id for event in await audited.events_of(session)] == [one, into]


async def test_of_concurrent_ends_one_has_the_event(audited: Audited) -> None:
    """Concurrent ends of a session make one event."""
    user_id = await audited.scenario.user()
    sessions = [await audited.start(user_id) for _ in range(10)]
    now = audited.scenario.clock.advance(seconds=1)
    for pauses, session in enumerate(sessions):
        await asyncio.gather(
            audited.store.end([session], EndReason.ENDED, now, OPERATOR),
            after(pauses, audited.store.end([session], EndReason.REPLACED, now, OPERATOR)),
        )

    ended = [event for event in await audited.events_of(*sessions) if event.type is EventType.SESSION_ENDED]
    assert sorted(event.session_id or "" for event in ended) == sorted(session.id for session in sessions)


async def test_a_batch_that_could_not_be_added_is_relayed_again(audited: Audited) -> None:
    """When the events cannot be added, they stay, and the next relay passes them."""
    session = await audited.start(await audited.scenario.user())

    async def fail(_events: Sequence[Event]) -> None:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await audited.scenario.environment.events.relay(fail)

    assert [event.type for event in await audited.events_of(session)] == [EventType.SESSION_STARTED]


async def test_an_end_during_a_relay_keeps_its_event(audited: Audited) -> None:
    """An event that is written while others are relayed is relayed later, once."""
    user_id = await audited.scenario.user()
    sessions = [await audited.start(user_id) for _ in range(10)]
    now = audited.scenario.clock.advance(seconds=1)

    async def end_meanwhile(events: Sequence[Event]) -> None:
        await audited.kept.add(events)
        await audited.store.end(sessions, EndReason.ENDED, now, OPERATOR)

    await audited.scenario.environment.events.relay(end_meanwhile)
    for _ in range(2):  # on a cluster, a hint is removed before its stream is read
        events = await audited.events_of(*sessions)

    assert len(events) == 2 * len(sessions)


async def test_more_events_than_a_batch_are_all_relayed(audited: Audited) -> None:
    """More events than fit into a batch are relayed in one call."""
    user_id = await audited.scenario.user()
    sessions = [audited.scenario.new(user_id) for _ in range(600)]
    for first in range(0, len(sessions), 10):
        await asyncio.gather(*(audited.store.start(each, None, NO_LIMIT) for each in sessions[first : first + 10]))

    assert len(await audited.events_of(*sessions)) == len(sessions)


async def test_relays_at_once_lose_nothing(audited: Audited) -> None:
    """Relays of several processes at once pass every event, and leave none."""
    user_id = await audited.scenario.user()
    sessions = [await audited.start(user_id) for _ in range(20)]
    events = audited.scenario.environment.events
    await asyncio.gather(*(events.relay(audited.kept.add) for _ in range(4)))

    assert len(await audited.events_of(*sessions)) == len(sessions)


@each_place(["redis", *DATABASES])
async def test_no_interruption_separates_an_event_from_its_change(audited: Audited, session_place: str) -> None:
    """Whenever the store stops answering, each session that started or ended has its event, and no other has one."""
    await check_interruptions(audited, session_place, open_audited)


def open_audited(place: RedisClient | Database) -> SessionStore:
    """Return a store that writes events."""
    return open_sql(place, KEYS, AUDITED)[0] if isinstance(place, Database) else open_redis(place, KEYS, AUDITED)[0]


async def check_interruptions(
    audited: Audited, place: str, open_store: Callable[[RedisClient | Database], SessionStore]
) -> None:
    """Check the promise for a login that replaces a session, and for a log-out."""
    user_id, sessions = await audited.scenario.user(), list[Session]()
    for step in range(MOST_STEPS):
        now = audited.scenario.clock.advance(seconds=1)
        sessions.append(audited.scenario.new(user_id))
        async with interrupted(place, step) as (client, is_interrupted):
            store = open_store(client)
            with suppress(StoreUnavailable):
                await store.start(sessions[-1], SessionKey("key"), 1)
                if step % 2:  # otherwise the next login ends it
                    await store.end(sessions[-1:], EndReason.ENDED, now, OPERATOR)
            if step % 2 and not is_interrupted():
                break
    found = {session.id: await audited.store.find(session.id) for session in sessions}
    events = await audited.events_of(*sessions)

    started = sorted(session_id for session_id, each in found.items() if each)
    ended = sorted(session_id for session_id, each in found.items() if isinstance(each, EndedSession))

    assert step > 2
    assert ids_of(events, EventType.SESSION_STARTED) == started
    assert ids_of(events, EventType.SESSION_ENDED) == ended


def ids_of(events: Sequence[Event], kind: EventType) -> list[str]:
    """Return the ids of the sessions that have an event of this type, once for each."""
    return sorted(event.session_id or "" for event in events if event.type is kind)


UNREADABLE = '{"id":"1","type":["a list"]}'
"""An event of a newer release whose format is another one."""


@in_redis
async def test_in_redis_an_event_of_a_newer_release_waits(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Events that this release cannot read stay, keep no other from being relayed, and are logged once."""
    monkeypatch.setattr(redis_module, "BATCH", 2)
    relay = audited.scenario.environment.events
    assert isinstance(relay, RedisSessionEvents)
    session = audited.scenario.new(await audited.scenario.user())
    stream = EventStreams(relay._redis).stream_for(name_of(session.id))
    entries = [("event", UNREADABLE), ("event", UNREADABLE), ("new", "format")]
    newer = [await relay._redis.xadd(stream, {name: value}) for name, value in entries]
    await audited.store.start(session, None, NO_LIMIT)
    first = await audited.events_of(session)
    await audited.store.end([session], EndReason.ENDED, audited.scenario.clock.advance(seconds=1), OPERATOR)
    second = await audited.events_of(session)
    left = [entry_id for entry_id, _ in await relay._redis.xrange(stream) or ()]
    await relay._redis.delete(stream)

    assert [event.type for event in first] == [EventType.SESSION_STARTED]
    assert [event.type for event in second] == [EventType.SESSION_STARTED, EventType.SESSION_ENDED]
    assert left == newer
    assert len(caplog.records) == 1


@each_place(DATABASES)
async def test_in_a_database_an_event_of_a_newer_release_waits(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Events that this release cannot read stay, keep no other from being relayed, and are logged once."""
    monkeypatch.setattr(sql_module, "BATCH", 2)
    relay = audited.scenario.environment.events
    assert isinstance(relay, SqlSessionEvents)
    user_id = await audited.scenario.user()
    newer = [await audited.start(user_id) for _ in range(3)]
    written = update(session_rows).where(session_rows.c.id.in_([each.id for each in newer]))
    await relay._database.write(lambda connection: connection.execute(written.values(started_event=UNREADABLE)))
    ours = [await audited.start(user_id) for _ in range(3)]
    await audited.store.end([newer[0]], EndReason.ENDED, audited.scenario.clock.advance(seconds=1), OPERATOR)
    relayed = [await audited.events_of(*newer, *ours) for _ in range(2)]
    waiting = select(session_rows.c.id).where(session_rows.c.has_events == 1)
    left = await relay._database.read(lambda connection: set(connection.scalars(waiting)))

    assert [[event.session_id for event in events] for events in relayed] == [[each.id for each in ours]] * 2
    assert left == {each.id for each in newer}
    assert len(caplog.records) == 1


@not_in_memory
async def test_without_a_policy_no_event_is_written(scenario: Scenario) -> None:
    """A store that no one asks for events about sessions writes none."""
    store, kept = scenario.environment.open(KEYS, DEFAULT_POLICY)[0], Kept()
    session = scenario.new(await scenario.user())
    await store.start(session, None, NO_LIMIT)
    await store.end([session], EndReason.ENDED, scenario.clock.now, OPERATOR)
    await scenario.environment.events.relay(kept.add)

    assert [event for event in kept.events if event.session_id == session.id] == []


@not_in_memory
async def test_a_webhook_alone_makes_events(scenario: Scenario) -> None:
    """Events that only an endpoint asks for are written, and others are not."""
    policy = EventPolicy(subscriptions={"endpoint": ("session.ended",)})
    store, kept = scenario.environment.open(KEYS, policy)[0], Kept()
    session = scenario.new(await scenario.user())
    await store.start(session, None, NO_LIMIT)
    await store.end([session], EndReason.ENDED, scenario.clock.now, OPERATOR)
    await scenario.environment.events.relay(kept.add)

    assert [event.type for event in kept.events if event.session_id == session.id] == [EventType.SESSION_ENDED]


@in_redis
async def test_a_lost_hint_delays_an_event(audited: Audited, clock: Clock) -> None:
    """A process that starts to relay finds all events on a cluster, also those without a hint."""
    session = await audited.start(await audited.scenario.user())
    first = audited.scenario.environment.events
    assert isinstance(first, RedisSessionEvents)
    redis = first._redis
    await redis.delete("wxlogin:events:hints")
    kept = Kept()
    with suppress(StoreUnavailable):
        await RedisSessionEvents(redis).relay(kept.add)

    assert [event.session_id for event in kept.events if event.session_id == session.id] == [session.id]


async def test_events_survive_relays_that_fail(audited: Audited) -> None:
    """Events that several relays could not add are passed by the next one that can."""
    session = await audited.start(await audited.scenario.user())
    await audited.events_of()  # a cluster is searched at the first relay only

    async def fail(_events: Sequence[Event]) -> None:
        raise StoreUnavailable

    await audited.store.end([session], EndReason.ENDED, audited.scenario.clock.now, OPERATOR)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await audited.scenario.environment.events.relay(fail)

    assert [event.type for event in await audited.events_of(session)][-1] is EventType.SESSION_ENDED
