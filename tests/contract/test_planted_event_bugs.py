"""The contract suites fail on an adapter that loses, doubles or invents events: each bug planted here is caught."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, update

from adapters.memory.user_repository import MemoryUserRepository
from adapters.redis.client import create_client
from adapters.redis.connections import Command, RedisClient, map_redis_errors
from adapters.redis.device_grant_store import RedisDeviceGrantStore
from adapters.redis.session_events import STREAM, encode_event
from adapters.redis.session_store import END_SCRIPT, End, RedisSessionStore
from adapters.sql import event_records
from adapters.sql.database import Database
from adapters.sql.device_grant_store import SqlDeviceGrantStore
from adapters.sql.event_writer import EventfulWork, EventWriter
from adapters.sql.events import insert_events
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.tables import sessions as session_rows
from adapters.sql.user_repository import SqlUserRepository
from application.ports.events import Publish, ignore
from application.ports.key_vault import KeyVault
from application.ports.session_events import SessionEvents
from application.ports.session_store import SessionStore
from contract import test_scan_events as scan_suite
from contract import test_session_events as session_suite
from contract import test_user_events as user_suite
from domain.device_grant import DeviceGrant
from domain.errors import StoreUnavailable
from domain.event import DEFAULT_POLICY, Cause, Event, EventPolicy, EventType
from domain.identity import Identity
from domain.session import EndReason, Session
from domain.session_key import SessionKey
from domain.user import PhoneNumber, User
from support.clock import Clock
from support.events import Kept
from support.places import open_environment
from support.sessions import KEYS, Scenario
from support.stores import StoreEnvironment, open_redis, open_sql

pytestmark = pytest.mark.anyio

Add = Callable[[Sequence[Event]], Awaitable[None]]


async def write_in_redis(redis: RedisClient, event: Event) -> None:
    """Write an event by a command of its own."""
    with map_redis_errors():
        await redis.execute_command("XADD", STREAM, "*", "event", encode_event(event))


async def write_in_row(database: Database, event: Event) -> None:
    """Write an event into the row of its session, in a transaction of its own."""
    column = "started_event" if event.type is EventType.SESSION_STARTED else "ended_event"
    values = {column: event_records.encode_event(event), "has_events": 1}
    row = update(session_rows).where(session_rows.c.id == event.session_id).values(values)
    await database.write(lambda connection: connection.execute(row).rowcount)


class WritesAfterInRedis(RedisSessionStore):
    """A store that writes the event of a start after it."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        self._writes_starts = False
        replaced = await super().start(session, key, limit, previous)
        await write_in_redis(self._redis, session.started_event())
        return replaced


class WritesBeforeInRedis(RedisSessionStore):
    """A store that writes the event of a start before it."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        self._writes_starts = False
        await write_in_redis(self._redis, session.started_event())
        return await super().start(session, key, limit, previous)


class WritesTwiceInRedis(RedisSessionStore):
    """A store that writes the event of a start with it, and again."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        replaced = await super().start(session, key, limit, previous)
        await write_in_redis(self._redis, session.started_event())
        return replaced


class ForgetsReplacedInRedis(RedisSessionStore):
    """A store that forgets the events of the sessions that a login replaces."""

    async def _end_members(self, ends: Sequence[End]) -> int:
        self._writes_ends = not any(end.event.reason == EndReason.REPLACED for end in ends)
        return await super()._end_members(ends)


class WritesEachEndInRedis(RedisSessionStore):
    """A store that writes an event for an end that changes nothing."""

    def _end_commands(self, end: End) -> list[Command]:
        first, delete, last = super()._end_commands(end)
        command, _, keys, *arguments = delete
        script = "redis.call('XADD', KEYS[2], '*', 'event', ARGV[1]); return redis.call('GETDEL', KEYS[1])"

        assert delete[1] == END_SCRIPT
        return [first, (command, script, keys, *arguments), last]


class WritesAfterInSql(SqlSessionStore):
    """A store that writes the event of a start in a second transaction."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        self._writes_starts = False
        replaced = await super().start(session, key, limit, previous)
        await write_in_row(self._database, session.started_event())
        return replaced


class WritesBeforeInSql(SqlSessionStore):
    """A store that writes the event of an end in a transaction before it."""

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore."""
        self._writes_ends = False
        for session in sessions:
            await write_in_row(self._database, session.ended_event(reason, now, cause))
        return await super().end(sessions, reason, now, cause)


class ForgetsReplacedInSql(SqlSessionStore):
    """A store that forgets the events of the sessions that a login replaces."""

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore."""
        self._writes_ends = reason is not EndReason.REPLACED
        return await super().end(sessions, reason, now, cause)


class WritesEachEndInSql(SqlSessionStore):
    """A store that writes an event for an end that changes nothing."""

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore."""
        ended = await super().end(sessions, reason, now, cause)
        for session in sessions:
            await write_in_row(self._database, session.ended_event(reason, now, cause))
        return ended


class RemovesFirst(SessionEvents):
    """A relay that removes events before it adds them."""

    def __init__(self, events: SessionEvents) -> None:
        self._events = events

    async def relay(self, add: Add) -> int:
        """See SessionEvents."""
        removed = Kept()
        relayed = await self._events.relay(removed.add)
        await add(removed.events)
        return relayed


class RelaysOneBatch(SessionEvents):
    """A relay that stops after the first batch."""

    def __init__(self, events: SessionEvents) -> None:
        self._events = events

    async def relay(self, add: Add) -> int:
        """See SessionEvents."""
        relayed: list[int] = []

        async def add_first(events: Sequence[Event]) -> None:
            if relayed:
                raise StoreUnavailable
            await add(events)
            relayed.append(len(events))

        with suppress(StoreUnavailable):
            await self._events.relay(add_first)
        return sum(relayed)


Store = type[RedisSessionStore] | type[SqlSessionStore]

Promise = Callable[[session_suite.Audited], Awaitable[None]]
"""A test of the suite of events about sessions."""


def plant(
    store: Store, place: Any, encryption_keys: Sequence[str], policy: EventPolicy = DEFAULT_POLICY
) -> tuple[SessionStore, KeyVault]:
    """Return a store of this class, and its vault."""
    open_right = open_sql if isinstance(place, Database) else open_redis
    _, vault = open_right(place, encryption_keys, policy)
    return store(place, vault, policy), vault  # type: ignore[arg-type]  # the vault is of the same technology


@asynccontextmanager
async def planted_environment(place: str, store: Store) -> AsyncIterator[StoreEnvironment]:
    """Open an environment whose store has the bug."""
    async with open_environment(place) as environment:
        opened: Any = create_client(place) if place.startswith("redis") else Database(place)
        async with opened as client:
            yield replace(environment, open=partial(plant, store, client))


twice = session_suite.test_an_event_is_relayed_once
replacements = session_suite.test_a_login_over_the_limit_tells_which_sessions_it_replaced
nothing_changed = session_suite.test_an_end_that_changes_nothing_has_no_event
added_again = session_suite.test_a_batch_that_could_not_be_added_is_relayed_again
all_batches = session_suite.test_more_events_than_a_batch_are_all_relayed


@pytest.mark.parametrize(
    ("session_place", "store", "promise"),
    [
        ("redis", WritesTwiceInRedis, twice),
        ("redis", ForgetsReplacedInRedis, replacements),
        ("sqlite", ForgetsReplacedInSql, replacements),
        ("redis", WritesEachEndInRedis, nothing_changed),
        ("sqlite", WritesEachEndInSql, nothing_changed),
    ],
    indirect=["session_place"],
    ids=lambda planted: getattr(planted, "__name__", planted),
)
async def test_the_suite_of_session_events_catches(
    session_place: str, store: Store, promise: Promise, clock: Clock
) -> None:
    """A store with a planted bug fails the test of the promise that the bug breaks."""
    async with planted_environment(session_place, store) as environment:
        with pytest.raises(AssertionError):
            await promise(session_suite.Audited(Scenario(environment, clock)))


@pytest.mark.parametrize(
    ("session_place", "store"),
    [
        ("redis", WritesAfterInRedis),
        ("redis", WritesBeforeInRedis),
        ("sqlite", WritesAfterInSql),
        ("sqlite", WritesBeforeInSql),
    ],
    indirect=["session_place"],
    ids=lambda planted: getattr(planted, "__name__", planted),
)
async def test_two_writes_are_caught(session_place: str, store: Store, clock: Clock) -> None:
    """A store that writes a change and its event one after the other fails the test with interruptions."""

    def open_planted(client: RedisClient | Database) -> SessionStore:
        return plant(store, client, KEYS, session_suite.AUDITED)[0]

    async with open_environment(session_place) as environment:
        audited = session_suite.Audited(Scenario(environment, clock))
        with pytest.raises(AssertionError):
            await session_suite.check_interruptions(audited, session_place, open_planted)


@pytest.mark.parametrize("session_place", ["redis", "sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("relay", "promise"),
    [(RemovesFirst, added_again), (RelaysOneBatch, all_batches)],
    ids=lambda planted: planted.__name__,
)
async def test_the_suite_catches_a_relay(
    session_place: str, relay: Callable[[SessionEvents], SessionEvents], promise: Promise, clock: Clock
) -> None:
    """A relay with a planted bug fails the test of the promise that the bug breaks."""
    async with open_environment(session_place) as environment:
        planted = replace(environment, events=relay(environment.events))
        with pytest.raises(AssertionError):
            await promise(session_suite.Audited(Scenario(planted, clock)))


class RecordsEachConflict(MemoryUserRepository):
    """A repository for which each login with a conflict finds a new one."""

    def _with_unionid(self, user: User, identity: Identity, now: datetime) -> User:
        self._conflicts.clear()
        return super()._with_unionid(user, identity, now)


class PublishesOpenids(MemoryUserRepository):
    """A repository whose events of logins have the openid."""

    def _publish_login(
        self, kind: EventType, user_id: str, identity: Identity, now: datetime, reason: str | None = None
    ) -> None:
        super()._publish_login(kind, user_id, identity, now, reason or f"of {identity.openid}")


class PublishesUnionids(MemoryUserRepository):
    """A repository whose events of logins have the unionid."""

    def _publish_login(
        self, kind: EventType, user_id: str, identity: Identity, now: datetime, reason: str | None = None
    ) -> None:
        super()._publish_login(kind, user_id, identity, now, identity.unionid or reason)


class PublishesPhones(MemoryUserRepository):
    """A repository whose events of phone numbers have the number."""

    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        return await super().bind_phone(user_id, phone, now, replace(cause, ip=phone.value.removeprefix("+")))


class ForgetsCause(MemoryUserRepository):
    """A repository whose events have no address and no reason."""

    async def block(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        return await super().block(user_id, now, Cause(cause.actor))


class PublishesEachUnblock(MemoryUserRepository):
    """A repository that makes an event of an unblock that changes nothing."""

    async def unblock(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        user = await super().unblock(user_id, now, cause)
        self._publish([Event.of(EventType.USER_UNBLOCKED, cause, now, user_id=user.id)])
        return user


class PublishesBeforeRefusal(MemoryUserRepository):
    """A repository that publishes the event of a block before it finds the user."""

    async def block(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        self._publish([Event.of(EventType.USER_BLOCKED, cause, now, user_id=user_id)])
        return await super().block(user_id, now, cause)


UserPromise = Callable[[user_suite.Recorded], Awaitable[None]]
"""A test of the suite of events about users."""

block = user_suite.CHANGES[EventType.USER_BLOCKED]
no_personal_data = user_suite.test_no_event_has_personal_data
unknown_user = user_suite.test_a_change_of_an_unknown_user_has_no_event


@pytest.mark.parametrize(
    ("repository", "promise"),
    [
        (RecordsEachConflict, user_suite.test_a_conflict_has_one_event),
        (PublishesOpenids, no_personal_data),
        (PublishesUnionids, no_personal_data),
        (PublishesPhones, no_personal_data),
        (ForgetsCause, partial(user_suite.test_a_change_has_its_event, kind=EventType.USER_BLOCKED, change=block)),
        (PublishesEachUnblock, user_suite.test_what_changes_nothing_has_no_event),
        (PublishesBeforeRefusal, partial(unknown_user, kind=EventType.USER_BLOCKED, change=block)),
    ],
    ids=lambda planted: getattr(planted, "__name__", "promise"),
)
async def test_the_suite_of_user_events_catches(
    repository: type[MemoryUserRepository], promise: UserPromise, clock: Clock
) -> None:
    """A repository with a planted bug fails the test of the promise that the bug breaks."""
    published = Kept()
    recorded = user_suite.Recorded(repository(published.publish), clock, published)
    with pytest.raises(AssertionError):
        await promise(recorded)


class InAnotherTransaction(EventWriter):
    """A writer that inserts events in a transaction of its own, whether the change succeeds or not."""

    async def write(self, work: EventfulWork[Any]) -> Any:
        """See EventWriter."""
        events: list[Event] = []
        try:
            return await self._database.write(lambda connection: work(connection, events))
        finally:
            await self._database.write(lambda connection: insert_events(connection, events, self._policy))
            self._publish(events)


class WithAnotherWriter(SqlUserRepository):
    """A repository that records an event in another transaction than its change."""

    def __init__(self, database: Database, policy: EventPolicy = DEFAULT_POLICY, publish: Publish = ignore) -> None:
        super().__init__(database, policy, publish)
        self._events = InAnotherTransaction(database, policy, publish)


class CreatesEachTime(SqlUserRepository):
    """A repository that makes an event of each login that found no user at first."""

    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """See UserRepository."""

        def create(connection: Connection, events: list[Event]) -> None:
            app = identity.appid.value
            events.append(Event.of(EventType.USER_CREATED, Cause.user(), now, user_id=user.id, app=app))

        user, is_new = await super().find_or_create(identity, now)
        if user.created_at == now and not is_new:
            await self._events.write(create)
        return user, is_new


async def test_an_event_in_another_transaction_is_caught(sqlite_url: str, clock: Clock) -> None:
    """A repository that records an event in another transaction fails: a rollback leaves it, and a change lacks it."""
    async with user_suite.recorded_in_sql(sqlite_url, clock, WithAnotherWriter) as recorded:
        with pytest.raises(AssertionError):
            await user_suite.check_rollback(recorded, EventType.USER_BLOCKED, block)
        with pytest.raises(AssertionError):
            await user_suite.check_undone(
                sqlite_url, recorded, EventType.USER_BLOCKED, block, repository=WithAnotherWriter
            )


async def test_an_event_of_each_concurrent_login_is_caught(sqlite_url: str, clock: Clock) -> None:
    """A repository whose concurrent first logins make an event each fails the test."""
    async with user_suite.recorded_in_sql(sqlite_url, clock, CreatesEachTime) as recorded:
        with pytest.raises(AssertionError):
            await user_suite.test_concurrent_first_logins_have_one_event(recorded)


class WritesEachAnswerInRedis(RedisDeviceGrantStore):
    """A store that writes the event of an answer even if it does not take place."""

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        replaced = await super().replace(old, new)
        if event:
            await write_in_redis(self._redis, event)
        return replaced


class WritesEachAnswerInSql(SqlDeviceGrantStore):
    """A store that writes the event of an answer before it, in another transaction."""

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        if event:
            written = [event]
            await self._database.write(lambda connection: insert_events(connection, written, DEFAULT_POLICY))
        return await super().replace(old, new)


@pytest.mark.parametrize(
    "promise",
    [
        scan_suite.test_a_change_that_does_not_take_place_has_no_event,
        scan_suite.test_of_concurrent_changes_the_one_that_happens_has_the_event,
    ],
    ids=lambda promise: promise.__name__,
)
@pytest.mark.parametrize("session_place", ["redis", "sqlite"], indirect=True)
async def test_the_suite_of_scan_events_catches(
    session_place: str, promise: Callable[[scan_suite.Recorded], Awaitable[None]], clock: Clock
) -> None:
    """A store that writes the event of a change that does not take place fails the test."""
    planted = scan_suite.open_recorded(session_place, clock, WritesEachAnswerInRedis, WritesEachAnswerInSql)
    async with planted as recorded:
        with pytest.raises(AssertionError):
            await promise(recorded)


@pytest.mark.parametrize(
    ("session_place", "store"),
    [("redis", WritesEachAnswerInRedis), ("sqlite", WritesEachAnswerInSql)],
    indirect=["session_place"],
)
async def test_two_writes_of_an_answer_are_caught(session_place: str, store: Any, clock: Clock) -> None:
    """A store that writes an answer and its event one after the other fails the test with interruptions."""
    async with scan_suite.open_recorded(session_place, clock) as recorded:
        with pytest.raises(AssertionError):
            await scan_suite.check_interruptions(recorded, session_place, store)
