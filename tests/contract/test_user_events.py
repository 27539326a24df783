"""Events about users: each change has exactly its event, on every UserRepository."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from adapters.memory.user_repository import MemoryUserRepository
from adapters.sql.connections import T, Work
from adapters.sql.database import Database
from adapters.sql.events import SqlEvents
from adapters.sql.user_repository import SqlUserRepository
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, RequestInvalid, StoreUnavailable
from domain.event import DEFAULT_POLICY, WECHAT, Cause, Event, EventPolicy, EventQuery, EventType
from domain.identity import Identity
from domain.user import ProfileChange, User
from support.clock import Clock
from support.events import Kept
from support.places import durable_users
from support.users import APP, NUMBER, OTHER_APP, somebody, unique

pytestmark = pytest.mark.anyio

OPERATOR = Cause.admin("ann", "192.0.2.7", "ticket 17")
NOTHING: frozenset[str] = frozenset()
PHONE = frozenset({"phone"})


class InterruptedDatabase(Database):
    """A Database that rolls back its next transaction at its end."""

    is_interrupted = False

    async def write(self, work: Work[T]) -> T:
        """See Database."""
        interrupted, self.is_interrupted = self.is_interrupted, False

        def run(connection: Connection) -> T:
            result = work(connection)
            if interrupted:
                raise SQLAlchemyError
            return result

        return await super().write(run)


class BrokenPolicy(EventPolicy):
    """A policy with which no event can be written."""

    def subscribers(self, type: EventType) -> list[str]:  # noqa: A002  # the name of the field
        """See EventPolicy."""
        raise SQLAlchemyError


@dataclass
class Recorded:
    """A repository, its clock, and the events of its changes: as they were published, and in the audit trail."""

    users: UserRepository
    clock: Clock
    published: Kept
    audit_trail: SqlEvents | None = None
    """None for a repository that has only published events."""

    def later(self) -> datetime:
        """Return the time of the next change, one second after the one before."""
        return self.clock.advance(seconds=1)

    async def log_in(self, identity: Identity | None = None) -> User:
        """Return the user of this identity, or of a new one."""
        user, _ = await self.users.find_or_create(identity or somebody(), self.later())
        return user

    async def events_of(self, *user_ids: str) -> list[Event]:
        """Return the events about these users, in the order of their time."""
        published = [event for event in self.published.events if event.user_id in user_ids]
        if not self.audit_trail:
            return published
        found = [await self.audit_trail.find(EventQuery(user_id=user_id)) for user_id in user_ids]
        kept = sorted((event for events in found for event in events), key=lambda event: event.time)

        assert sorted(event.id for event in kept) == sorted(event.id for event in published)
        return kept

    async def types_of(self, user: User) -> list[EventType]:
        """Return the types of the events about the user."""
        return [event.type for event in await self.events_of(user.id)]


@asynccontextmanager
async def recorded_in_sql(
    url: str,
    clock: Clock,
    repository: type[SqlUserRepository] = SqlUserRepository,
    policy: EventPolicy = DEFAULT_POLICY,
) -> AsyncIterator[Recorded]:
    """Open a repository of this class in a database."""
    async with InterruptedDatabase(url) as database:
        published = Kept()
        yield Recorded(
            repository(database, policy, published.publish), clock, published, SqlEvents(database, DEFAULT_POLICY)
        )


@pytest.fixture
async def recorded(user_place: str, clock: Clock) -> AsyncIterator[Recorded]:
    """The repository under test."""
    if user_place == "memory":
        published = Kept()
        yield Recorded(MemoryUserRepository(published.publish), clock, published)
        return
    async with recorded_in_sql(user_place, clock) as opened:
        yield opened


async def test_a_first_login_has_an_event(recorded: Recorded) -> None:
    """The event of a new user says when, in which app, and that the user did it. Later logins have none."""
    identity = somebody(APP, unique("u"))
    user = await recorded.log_in(identity)
    await recorded.log_in(identity)
    await recorded.log_in(somebody(OTHER_APP, identity.unionid))
    events = await recorded.events_of(user.id)

    assert [event.type for event in events] == [EventType.USER_CREATED]
    assert (events[0].time, events[0].actor, events[0].app) == (user.created_at, "user", APP.value)
    assert (events[0].session_id, events[0].ip, events[0].reason) == (None, None, None)


async def test_concurrent_first_logins_have_one_event(recorded: Recorded) -> None:
    """Of twenty concurrent first logins of an account, one makes the event."""
    identity = somebody(APP, unique("u"))
    now = recorded.later()
    logins = await asyncio.gather(*(recorded.users.find_or_create(identity, now) for _ in range(20)))

    assert await recorded.types_of(logins[0][0]) == [EventType.USER_CREATED]


Change = Callable[[UserRepository, str, datetime], Awaitable[object]]

CHANGES: dict[EventType, Change] = {
    EventType.USER_PHONE_BOUND: lambda users, user_id, now: users.bind_phone(user_id, NUMBER, now, OPERATOR),
    EventType.USER_BLOCKED: lambda users, user_id, now: users.block(user_id, now, OPERATOR),
    EventType.USER_UNBLOCKED: lambda users, user_id, now: users.unblock(user_id, now, OPERATOR),
}


def partner_of(user_id: str) -> Identity:
    """Return the account of the user who is merged into this one."""
    return Identity(APP, f"o{user_id}")


async def merge_partner(users: UserRepository, user_id: str, now: datetime) -> User:
    """Merge the partner into the user."""
    partner = await users.find_account(partner_of(user_id))
    assert partner
    return await users.merge(partner.id, user_id, NOTHING, now, OPERATOR)


ALL_CHANGES: dict[EventType, Change] = {
    **CHANGES,
    EventType.USER_MERGED: merge_partner,
    EventType.USER_CONSENT_REVOKED: lambda users, user_id, now: users.revoke_consent(user_id, PHONE, now, OPERATOR),
    EventType.USER_ERASED: lambda users, user_id, now: users.erase(user_id, now, OPERATOR),
}
"""Those of CHANGES, and those whose events have another address or reason than their causes."""

each_change = pytest.mark.parametrize(("kind", "change"), CHANGES.items(), ids=CHANGES)
every_change = pytest.mark.parametrize(("kind", "change"), ALL_CHANGES.items(), ids=ALL_CHANGES)


async def ready_for(kind: EventType, recorded: Recorded) -> User:
    """Return a new user whom the change of ALL_CHANGES changes."""
    user = await recorded.log_in()
    match kind:
        case EventType.USER_UNBLOCKED:
            user = await recorded.users.block(user.id, recorded.later(), OPERATOR)
        case EventType.USER_CONSENT_REVOKED:
            user = await recorded.users.bind_phone(user.id, NUMBER, recorded.later(), OPERATOR)
        case EventType.USER_MERGED:
            await recorded.log_in(partner_of(user.id))
    return user


@each_change
async def test_a_change_has_its_event(recorded: Recorded, kind: EventType, change: Change) -> None:
    """The event of a change says who changes which user, when, from which address, and why."""
    user = await ready_for(kind, recorded)
    before, now = await recorded.events_of(user.id), recorded.later()
    await change(recorded.users, user.id, now)
    events = (await recorded.events_of(user.id))[len(before) :]

    assert [(event.type, event.time, event.user_id) for event in events] == [(kind, now, user.id)]
    assert (events[0].actor, events[0].ip, events[0].reason) == ("admin:ann", "192.0.2.7", "ticket 17")
    assert (events[0].app, events[0].session_id) == (None, None)


@pytest.mark.parametrize("fields", [PHONE, NOTHING], ids=["a phone number", "nothing stored"])
async def test_a_revoked_consent_has_one_event(recorded: Recorded, fields: frozenset[str]) -> None:
    """A revocation has an event with its id, also if it covers nothing that is stored. A repeat has none."""
    user, event_id, now = await recorded.log_in(), str(uuid.uuid4()), recorded.later()
    for _ in range(2):
        await recorded.users.revoke_consent(user.id, fields, now, replace(WECHAT, reason="16"), event_id)
    events = (await recorded.events_of(user.id))[1:]

    assert [(event.id, event.type, event.time) for event in events] == [(event_id, EventType.USER_CONSENT_REVOKED, now)]
    assert [(event.actor, event.ip, event.reason) for event in events] == [("wechat", None, "16")]


async def test_an_erasure_has_one_event_for_each_id(recorded: Recorded) -> None:
    """The events of an erasure have the ids of all erased users, and no address. A repeat has none."""
    one, into = await recorded.log_in(), await recorded.log_in()
    await recorded.users.merge(one.id, into.id, NOTHING, recorded.later(), OPERATOR)
    now = recorded.later()
    for _ in range(2):
        await recorded.users.erase(into.id, now, OPERATOR)
    events = [each for each in await recorded.events_of(one.id, into.id) if each.type is EventType.USER_ERASED]

    assert {(event.user_id, event.reason) for event in events} == {(into.id, "ticket 17"), (one.id, f"with {into.id}")}
    assert [(event.time, event.actor, event.ip) for event in events] == 2 * [(now, "admin:ann", None)]


async def test_a_repeated_block_changes_nothing(recorded: Recorded) -> None:
    """A block of a blocked user has no event, and the user is blocked since the first one."""
    user, first = await recorded.log_in(), recorded.later()
    for now in (first, recorded.later()):
        again = await recorded.users.block(user.id, now, OPERATOR)

    assert again.blocked_at == first
    assert await recorded.types_of(user) == [EventType.USER_CREATED, EventType.USER_BLOCKED]


async def test_concurrent_blocks_have_one_event(recorded: Recorded) -> None:
    """Of blocks at once one changes the user, and makes the event. The same holds for unblocks."""
    user = await recorded.log_in()
    for change in (recorded.users.block, recorded.users.unblock):
        now = recorded.later()
        await asyncio.gather(*(change(user.id, now, OPERATOR) for _ in range(8)))

    assert await recorded.types_of(user) == [
        EventType.USER_CREATED,
        EventType.USER_BLOCKED,
        EventType.USER_UNBLOCKED,
    ]


async def test_a_merge_has_an_event(recorded: Recorded) -> None:
    """The event of a merge is about the remaining user, and names the other. A repeated merge has none."""
    one, into = await recorded.log_in(), await recorded.log_in()
    now = recorded.later()
    for _ in range(2):
        await recorded.users.merge(one.id, into.id, NOTHING, now, OPERATOR)
    events = await recorded.events_of(one.id, into.id)

    assert [event.type for event in events[2:]] == [EventType.USER_MERGED]
    assert (events[2].user_id, events[2].reason, events[2].time) == (into.id, f"from {one.id}", now)
    assert (events[2].actor, events[2].ip) == ("admin:ann", "192.0.2.7")


async def test_a_change_of_a_merged_user_is_about_the_remaining_one(recorded: Recorded) -> None:
    """A change by the id of a merged user has its event with the id of the user who changed."""
    one, into = await recorded.log_in(), await recorded.log_in()
    await recorded.users.merge(one.id, into.id, NOTHING, recorded.later(), OPERATOR)
    await recorded.users.block(one.id, recorded.later(), OPERATOR)

    assert (await recorded.types_of(into))[-1] is EventType.USER_BLOCKED
    assert await recorded.types_of(one) == [EventType.USER_CREATED]


async def test_a_late_unionid_has_one_event(recorded: Recorded) -> None:
    """A unionid that is added has an event with the app of the login, even if many logins bring it at once."""
    identity = somebody()
    user = await recorded.log_in(identity)
    late, now = replace(identity, unionid=unique("u")), recorded.later()
    await asyncio.gather(*(recorded.users.find_or_create(late, now) for _ in range(10)))
    events = await recorded.events_of(user.id)

    assert [event.type for event in events] == [EventType.USER_CREATED, EventType.USER_UNIONID_ADDED]
    assert (events[1].time, events[1].actor, events[1].app) == (now, "user", APP.value)


async def in_conflict(recorded: Recorded) -> tuple[Identity, User, User]:
    """Return an identity whose unionid is another user's, its user, and the other user."""
    other = await recorded.log_in(somebody(OTHER_APP, unique("u")))
    identity = somebody()
    user = await recorded.log_in(identity)
    return replace(identity, unionid=other.unionid), user, other


async def test_a_conflict_has_one_event(recorded: Recorded) -> None:
    """A conflict has an event that names the other user. A login that brings a known conflict again has none."""
    identity, user, other = await in_conflict(recorded)
    for _ in range(3):
        await recorded.log_in(identity)
    events = await recorded.events_of(user.id)

    assert [event.type for event in events] == [EventType.USER_CREATED, EventType.USER_UNIONID_CONFLICT]
    assert (events[1].actor, events[1].app, events[1].reason) == ("user", APP.value, f"with {other.id}")
    assert await recorded.types_of(other) == [EventType.USER_CREATED]


async def test_concurrent_logins_with_a_conflict_have_one_event(recorded: Recorded) -> None:
    """Of concurrent logins that find the same conflict, one makes the event."""
    identity, user, _ = await in_conflict(recorded)
    now = recorded.later()
    await asyncio.gather(*(recorded.users.find_or_create(identity, now) for _ in range(20)))

    assert await recorded.types_of(user) == [EventType.USER_CREATED, EventType.USER_UNIONID_CONFLICT]


async def test_a_conflict_with_another_user_has_an_event(recorded: Recorded) -> None:
    """A unionid that changes hands is another conflict: with whoever has it now."""
    identity = somebody(APP, unique("u"))
    user = await recorded.log_in(identity)
    changed = replace(identity, unionid=unique("u"))
    await recorded.log_in(changed)
    other = await recorded.log_in(somebody(OTHER_APP, changed.unionid))
    for _ in range(2):
        await recorded.log_in(changed)
    conflicts = [event for event in await recorded.events_of(user.id) if event.type is not EventType.USER_CREATED]

    assert [event.type for event in conflicts] == 2 * [EventType.USER_UNIONID_CONFLICT]
    assert [event.reason for event in conflicts] == [None, f"with {other.id}"]


async def test_what_changes_nothing_has_no_event(recorded: Recorded) -> None:
    """Neither an unblock of a user who is not blocked nor a change of the profile has an event."""
    user = await recorded.log_in()
    await recorded.users.unblock(user.id, recorded.later(), OPERATOR)
    await recorded.users.change_profile(user.id, ProfileChange(name="李雷"), recorded.later())

    assert await recorded.types_of(user) == [EventType.USER_CREATED]


@each_change
async def test_a_change_of_an_unknown_user_has_no_event(recorded: Recorded, kind: EventType, change: Change) -> None:
    """A change that is refused, because there is no such user, has no event."""
    unknown = unique("")
    with pytest.raises(NotFound):
        await change(recorded.users, unknown, recorded.later())

    assert kind in CHANGES
    assert await recorded.events_of(unknown) == []


async def test_a_refused_merge_has_no_event(recorded: Recorded) -> None:
    """A merge that would lose data is refused, and has no event."""
    one, into = await recorded.log_in(somebody(APP, unique("u"))), await recorded.log_in(somebody(APP, unique("u")))
    with pytest.raises(RequestInvalid):
        await recorded.users.merge(one.id, into.id, NOTHING, recorded.later(), OPERATOR)

    assert [event.type for event in await recorded.events_of(one.id, into.id)] == 2 * [EventType.USER_CREATED]


async def test_no_event_has_personal_data(recorded: Recorded) -> None:
    """No field of an event has a phone number, an openid, a unionid or a name, whatever changes."""
    identity, user, other = await in_conflict(recorded)
    late = somebody()
    with_late = await recorded.log_in(late)
    await recorded.log_in(replace(late, unionid=unique("late")))
    await recorded.log_in(identity)
    await recorded.users.change_profile(user.id, ProfileChange(name="李雷"), recorded.later())
    for change in CHANGES.values():
        await change(recorded.users, user.id, recorded.later())
    await recorded.users.merge(user.id, other.id, NOTHING, recorded.later(), OPERATOR)
    merged = await recorded.users.get(other.id)
    await recorded.users.revoke_consent(other.id, PHONE, recorded.later(), OPERATOR)
    await recorded.users.erase(other.id, recorded.later(), OPERATOR)
    events = await recorded.events_of(user.id, other.id, with_late.id)
    personal = {NUMBER.value, NUMBER.value[1:], "李雷", merged.unionid, identity.openid, late.openid}
    personal |= {account.openid for account in merged.accounts} | {(await recorded.users.get(with_late.id)).unionid}
    written = repr([asdict(event) for event in events])

    assert {event.type for event in events} == {EventType(kind) for kind in ABOUT_USERS}
    assert [text for text in personal if text and text in written] == []


ABOUT_USERS = [
    EventType.USER_CREATED,
    EventType.USER_PHONE_BOUND,
    EventType.USER_UNIONID_ADDED,
    EventType.USER_UNIONID_CONFLICT,
    EventType.USER_BLOCKED,
    EventType.USER_UNBLOCKED,
    EventType.USER_MERGED,
    EventType.USER_CONSENT_REVOKED,
    EventType.USER_ERASED,
]
"""The events that a UserRepository makes."""


@durable_users
@every_change
async def test_a_change_that_is_rolled_back_has_no_event(recorded: Recorded, kind: EventType, change: Change) -> None:
    """When the transaction of a change fails, neither the audit trail nor the metrics get its event."""
    await check_rollback(recorded, kind, change)


async def check_rollback(recorded: Recorded, kind: EventType, change: Change) -> None:
    """Check the promise for one change."""
    user = await ready_for(kind, recorded)
    before = await recorded.users.get(user.id), await recorded.types_of(user)
    assert isinstance(recorded.users, SqlUserRepository)
    database = recorded.users._database
    assert isinstance(database, InterruptedDatabase)
    database.is_interrupted = True
    with pytest.raises(StoreUnavailable):
        await change(recorded.users, user.id, recorded.later())

    assert (await recorded.users.get(user.id), await recorded.types_of(user)) == before
    assert kind in ALL_CHANGES


@durable_users
@every_change
async def test_a_change_whose_event_cannot_be_written_is_undone(
    user_place: str, recorded: Recorded, kind: EventType, change: Change
) -> None:
    """When an event cannot be written, its change does not happen, and nothing is published."""
    await check_undone(user_place, recorded, kind, change)


async def check_undone(
    url: str,
    recorded: Recorded,
    kind: EventType,
    change: Change,
    repository: type[SqlUserRepository] = SqlUserRepository,
) -> None:
    """Check the promise for one change."""
    user = await ready_for(kind, recorded)
    before = await recorded.users.get(user.id), await recorded.types_of(user)
    async with recorded_in_sql(url, recorded.clock, repository, BrokenPolicy()) as broken:
        with pytest.raises(StoreUnavailable):
            await change(broken.users, user.id, recorded.later())

    assert (await recorded.users.get(user.id), await recorded.types_of(user)) == before
    assert kind in ALL_CHANGES
    assert broken.published.events == []
