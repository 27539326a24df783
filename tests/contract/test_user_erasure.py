"""Erasures of users, consents that are revoked, and what changes at the same time, on every UserRepository."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from operator import attrgetter

import pytest
from sqlalchemy import update

from adapters.memory.user_repository import MemoryUserRepository
from adapters.sql.database import Database
from adapters.sql.events import SqlEvents
from adapters.sql.tables import webhook_deliveries
from adapters.sql.user_repository import SqlUserRepository
from adapters.sql.webhook_queue import SqlWebhookQueue
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, PhoneTaken, RequestInvalid, StoreUnavailable
from domain.event import CLI, DEFAULT_POLICY, SYSTEM, WECHAT, Cause, Event, EventPolicy, EventQuery, EventType
from domain.identity import Identity
from domain.own_data import Erasure
from domain.user import ProfileChange, User
from domain.webhook import Delivery
from support.clock import Clock
from support.places import durable_users
from support.sessions import after
from support.users import APP, NUMBER, OTHER_APP, accounts_of, conflicts_of, made, somebody, unique

pytestmark = pytest.mark.anyio

OPERATOR = Cause.admin("ann", "192.0.2.7", "request 17")
PHONE = Cause.user("2001:db8::7")

TURNS = range(0, 12, 2)
"""The numbers of event loop turns that the other call waits, so that it meets the erasure at every stage."""


async def test_an_erased_user_is_gone(users: UserRepository, clock: Clock) -> None:
    """No id and no account finds an erased user, and the conflicts of both sides are gone."""
    unionid = unique("u")
    owner = await made(users, clock, somebody(OTHER_APP, unionid))
    account = somebody()
    user = await made(users, clock, account)
    await users.find_or_create(Identity(APP, account.openid, unionid), clock.now)
    erasure = await users.erase(owner.id, clock.now, CLI)

    assert (erasure.ids, erasure.is_new) == ((owner.id,), True)
    assert [(each.appid, each.openid) for each in erasure.accounts] == accounts_of(owner)
    assert await users.find_account(owner.accounts[0]) is None
    assert await conflicts_of(users, user) == []
    with pytest.raises(NotFound):
        await users.get(owner.id)
    with pytest.raises(NotFound):
        await users.records_of(owner.id)
    assert await users.get(user.id) == user


async def test_an_erasure_is_idempotent(users: UserRepository, clock: Clock) -> None:
    """The second erasure changes nothing, says so, and knows the same ids. An unknown id is no user."""
    user = await made(users, clock)
    await users.erase(user.id, clock.now, CLI)
    again = await users.erase(user.id, clock.advance(days=1), CLI)

    assert again == Erasure((user.id,), (), is_new=False)
    for unknown in ("01a208a8-c24a-71fc-9e9c-a8e88c77fcc5", "no id", "über", ""):
        with pytest.raises(NotFound):
            await users.erase(unknown, clock.now, CLI)


async def test_the_next_login_is_a_new_user(users: UserRepository, clock: Clock) -> None:
    """The accounts and the unionid of an erased user are free, and nothing of the user comes back."""
    account = somebody(unionid=unique("u"))
    user = await made(users, clock, account)
    await users.bind_phone(user.id, NUMBER, clock.now, PHONE)
    await users.block(user.id, clock.now, OPERATOR)
    await users.erase(user.id, clock.now, CLI)
    new, is_new = await users.find_or_create(account, clock.advance(days=1))

    assert is_new
    assert new.id != user.id
    assert (new.unionid, new.phone, new.blocked_at) == (account.unionid, None, None)


@pytest.mark.parametrize("which", ["the merged", "the remaining"])
async def test_an_erasure_erases_who_was_merged(users: UserRepository, clock: Clock, which: str) -> None:
    """By any of its ids, a merged user is erased with the accounts of all, and then no id finds one."""
    first, second, into = [await made(users, clock) for _ in range(3)]
    await users.merge(first.id, second.id, frozenset(), clock.now, CLI)
    await users.merge(second.id, into.id, frozenset(), clock.now, CLI)
    ids = {first.id, second.id, into.id}
    erasure = await users.erase(first.id if which == "the merged" else into.id, clock.now, CLI)

    assert (set(erasure.ids), erasure.ids[0]) == (ids, into.id)
    assert len(erasure.accounts) == 3
    for user_id in ids:
        with pytest.raises(NotFound):
            await users.get(user_id)
        again = await users.erase(user_id, clock.now, CLI)
        assert (set(again.ids), again.is_new) == (ids, False)


async def test_a_unionid_is_not_added_to_an_erased_user(users: UserRepository, clock: Clock) -> None:
    """A unionid that arrives without a login creates no user."""
    account = somebody()
    user = await made(users, clock, account)
    await users.erase(user.id, clock.now, CLI)
    with pytest.raises(NotFound):
        await users.add_unionid(Identity(APP, account.openid, unique("u")), clock.now)

    assert await users.find_account(account) is None


def sorted_text(fields: set[str]) -> str:
    """Return the fields in one order, so that each process of a run has the same names of tests."""
    return ",".join(sorted(fields)) or "none"


@pytest.mark.parametrize("fields", [{"phone"}, {"name"}, {"avatar"}, {"name", "avatar"}, set()], ids=sorted_text)
async def test_a_revoked_consent_removes_these_fields(users: UserRepository, clock: Clock, fields: set[str]) -> None:
    """The fields of a revoked consent are as those of a new user, and all others stay."""
    user = await made(users, clock)
    filled = ProfileChange("小明", "https://example.com/a.png", "zh_CN", "广东", "深圳", "中国")
    await users.change_profile(user.id, filled, clock.now)
    before = await users.bind_phone(user.id, NUMBER, clock.now, PHONE)
    changed = await users.revoke_consent(user.id, frozenset(fields), clock.advance(hours=1), WECHAT)
    assert changed

    was_profile, profile = before.profile, changed.profile

    assert changed == await users.get(user.id)
    assert changed.phone == (None if "phone" in fields else NUMBER.value)
    assert profile.name == ("" if "name" in fields else was_profile.name)
    assert profile.avatar == ("" if "avatar" in fields else was_profile.avatar)
    assert (profile.language, profile.city) == (was_profile.language, was_profile.city)
    with pytest.raises(NotFound):
        await users.revoke_consent("no user", frozenset(fields), clock.now, WECHAT)


async def test_a_user_is_found_by_account_without_a_login(users: UserRepository, clock: Clock) -> None:
    """An account finds its user in its own app only, and finding creates no user."""
    account = somebody()
    user = await made(users, clock, account)
    found = await users.find_account(account)

    assert found is not None
    assert found.id == user.id
    assert await users.find_account(Identity(OTHER_APP, account.openid)) is None
    assert await users.find_account(somebody()) is None


async def test_records_have_all_about_a_user(users: UserRepository, clock: Clock) -> None:
    """The records have the accounts with their times, the conflicts, and who was merged."""
    account = somebody()
    user = await made(users, clock, account)
    other = await made(users, clock, somebody(OTHER_APP, unique("u")))
    await users.find_or_create(Identity(APP, account.openid, other.unionid), clock.now)
    former = await made(users, clock)
    await users.merge(former.id, user.id, frozenset(), clock.now, CLI)
    records = await users.records_of(former.id)

    assert records.user == await users.get(user.id)
    assert records.accounts_since == (clock.now, clock.now)
    assert [(each.unionid, each.other_user_id) for each in records.conflicts] == [(other.unionid, other.id)]
    assert [(each.user_id, each.merged_at, each.user["id"]) for each in records.merges] == [
        (former.id, clock.now, former.id)
    ]


async def test_records_have_merges_in_their_order(users: UserRepository, clock: Clock) -> None:
    """The merged users are in the order in which they were merged, the first one first."""
    into, *former = [await made(users, clock) for _ in range(4)]
    for each in former[::-1]:
        await users.merge(each.id, into.id, frozenset(), clock.advance(seconds=1), CLI)
    records = await users.records_of(into.id)

    assert [each.user_id for each in records.merges] == [each.id for each in former[::-1]]


@durable_users
async def test_records_have_events_that_wait_for_webhooks(user_place: str, clock: Clock) -> None:
    """An event that an endpoint has not received is in the records, once, with its address; a delivered one is not.

    The same holds for events of who was merged. Those of others are not there.
    """
    async with Database(user_place) as database:
        subscriptions = {secrets.token_hex(8): ("session.*",), secrets.token_hex(8): ("*",)}
        users, queue = SqlUserRepository(database), SqlWebhookQueue(database)
        events = SqlEvents(database, EventPolicy(subscriptions=subscriptions))
        user, former, other = [await made(users, clock) for _ in range(3)]
        await users.merge(former.id, user.id, frozenset(), clock.now, CLI)
        made_of = [Event.of(EventType.SESSION_STARTED, PHONE, clock.now, user_id=each.id) for each in (user, former)]
        delivered = Event.of(EventType.SESSION_STARTED, PHONE, clock.now, user_id=user.id)
        of_other = Event.of(EventType.SESSION_STARTED, PHONE, clock.now, user_id=other.id)
        await events.add([*made_of, delivered, of_other])
        await queue.remove([Delivery(endpoint, delivered, 0) for endpoint in subscriptions])
        waiting = (await users.records_of(user.id)).waiting

        assert sorted(waiting, key=attrgetter("id")) == sorted(made_of, key=attrgetter("id"))
        assert await events.find(EventQuery(user_id=user.id, type="session.started")) == []


@durable_users
async def test_records_do_without_an_event_of_a_newer_release(user_place: str, clock: Clock) -> None:
    """A delivery that this release cannot read is no error."""
    async with Database(user_place) as database:
        users = SqlUserRepository(database)
        events = SqlEvents(database, EventPolicy(subscriptions={secrets.token_hex(8): ("*",)}))
        user = await made(users, clock)
        event = Event.of(EventType.SCAN_APPROVED, PHONE, clock.now, user_id=user.id)
        await events.add([event])
        newer = update(webhook_deliveries).where(webhook_deliveries.c.event_id == event.id).values(event='{"id":1}')
        await database.write(lambda connection: connection.execute(newer).rowcount)

        assert (await users.records_of(user.id)).waiting == ()


@pytest.mark.parametrize("turns", TURNS)
async def test_of_erasures_at_once_one_is_the_first(users: UserRepository, clock: Clock, turns: int) -> None:
    """Concurrent erasures of a user all succeed, and one of them says that the user was there."""
    user = await made(users, clock)
    calls = [users.erase(user.id, clock.now, CLI) for _ in range(4)]
    erasures = await asyncio.gather(*calls, _later(turns, users.erase(user.id, clock.now, CLI)))

    assert sorted(each.is_new for each in erasures) == [False, False, False, False, True]


async def _later(turns: int, call: Awaitable[Erasure]) -> Erasure:
    outcome: list[Erasure] = []

    async def keep() -> None:
        outcome.append(await call)

    await after(turns, keep())
    return outcome[0]


class Pair:
    """An erasure of a user and another change at the same time."""

    def __init__(self, users: UserRepository, clock: Clock, user: User, account: Identity, other: User) -> None:
        self.users, self.clock, self.user, self.account, self.other = users, clock, user, account, other

    async def erase(self) -> object:
        """Erase the user."""
        return await self.users.erase(self.user.id, self.clock.now, CLI)

    async def log_in(self) -> object:
        """Log in as the user."""
        return await self.users.find_or_create(self.account, self.clock.now)

    async def log_in_elsewhere(self) -> object:
        """Log in as the user in another app, so that an account is added by the unionid."""
        return await self.users.find_or_create(somebody(OTHER_APP, self.user.unionid), self.clock.now)

    async def merge(self) -> object:
        """Merge the user into another one."""
        return await self.users.merge(self.user.id, self.other.id, frozenset({"phone", "unionid"}), self.clock.now, CLI)

    async def merge_into(self) -> object:
        """Merge another user into the user."""
        return await self.users.merge(self.other.id, self.user.id, frozenset({"phone", "unionid"}), self.clock.now, CLI)

    async def bind_phone(self) -> object:
        """Bind a phone number."""
        return await self.users.bind_phone(self.user.id, NUMBER, self.clock.now, PHONE)

    async def block(self) -> object:
        """Block the user."""
        return await self.users.block(self.user.id, self.clock.now, CLI)

    async def revoke_consent(self) -> object:
        """Revoke a consent of the user."""
        return await self.users.revoke_consent(self.user.id, frozenset({"phone"}), self.clock.now, WECHAT)


OTHERS: dict[str, Callable[[Pair], Callable[[], Awaitable[object]]]] = {
    "a login": lambda pair: pair.log_in,
    "a login in another app": lambda pair: pair.log_in_elsewhere,
    "a merge": lambda pair: pair.merge,
    "a merge into the user": lambda pair: pair.merge_into,
    "a phone number": lambda pair: pair.bind_phone,
    "a block": lambda pair: pair.block,
    "a consent": lambda pair: pair.revoke_consent,
}


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("order", ["the erasure first", "the other first"])
@pytest.mark.parametrize("name", OTHERS)
async def test_an_erasure_and_another_change_have_clean_outcomes(
    users: UserRepository, clock: Clock, name: str, order: str, turns: int
) -> None:
    """Whatever comes at the same time succeeds or finds no user, and afterwards the user is gone."""
    account = somebody(unionid=unique("u"))
    user, other = await made(users, clock, account), await made(users, clock)
    pair = Pair(users, clock, user, account, other)
    calls = [pair.erase, OTHERS[name](pair)]
    first, second = calls if order == "the erasure first" else reversed(calls)
    outcomes: list[object] = []

    async def noted(call: Callable[[], Awaitable[object]]) -> None:
        try:
            outcomes.append(await call())
        except (NotFound, RequestInvalid) as refused:
            outcomes.append(refused)

    await asyncio.gather(noted(first), after(turns, noted(second)))

    assert sum(isinstance(each, Erasure) for each in outcomes) == 1
    with pytest.raises(NotFound):
        await users.get(user.id)
    found = await users.find_account(account)
    assert found is None or found.id != user.id
    if name in ("a merge", "a merge into the user"):  # either both are erased, or the other is as before
        refused = any(isinstance(each, NotFound) for each in outcomes)
        assert await _exists(users, other) is refused
        assert not refused or accounts_of(await users.get(other.id)) == accounts_of(other)


async def _exists(users: UserRepository, user: User) -> bool:
    try:
        return bool(await users.get(user.id))
    except NotFound:
        return False


@durable_users
@pytest.mark.parametrize("waits", ["a login", "a phone number", "a merge", "an erasure"])
async def test_what_waits_for_an_erasure_finds_no_user(user_place: str, clock: Clock, waits: str) -> None:
    """A change that waits for the lock of an erasure sees what the erasure committed."""
    async with Database(user_place) as one, Database(user_place) as two:
        users, others = SqlUserRepository(one), SqlUserRepository(two)
        account = somebody(unionid=unique("u"))
        user, other = await made(users, clock, account), await made(users, clock)
        pair = Pair(others, clock, user, account, other)
        calls = {"an erasure": pair.erase} | {name: OTHERS[name](pair) for name in OTHERS}
        outcomes = await asyncio.gather(
            *(partial(users.erase, user.id, clock.now, CLI)() for _ in range(2)),
            *(calls[waits]() for _ in range(8)),
            return_exceptions=True,
        )

        assert [each for each in outcomes if isinstance(each, StoreUnavailable)] == []
        with pytest.raises(NotFound):
            await users.get(user.id)


@durable_users
async def test_the_events_of_an_erased_user_have_no_address(user_place: str, clock: Clock) -> None:
    """Events stay without the address of the user, also those that arrive later. Addresses of operators stay."""
    async with Database(user_place) as database:
        users, events = SqlUserRepository(database), SqlEvents(database, DEFAULT_POLICY)
        user, former = await made(users, clock), await made(users, clock)
        await users.bind_phone(user.id, NUMBER, clock.now, PHONE)
        await users.bind_phone(former.id, NUMBER, clock.now, PHONE)
        await users.block(user.id, clock.now, OPERATOR)
        await users.merge(former.id, user.id, frozenset(), clock.now, CLI)
        await users.erase(user.id, clock.advance(seconds=1), OPERATOR)
        late = Event.of(EventType.SCAN_APPROVED, PHONE, clock.now, user_id=user.id)
        await events.add([late])
        known = await events.find(EventQuery(user_id=user.id)) + await events.find(EventQuery(user_id=former.id))
        erased = {event.user_id: event for event in known if event.type is EventType.USER_ERASED}

        assert [(event.type, event.ip) for event in known if event.ip] == [(EventType.USER_BLOCKED, OPERATOR.ip)]
        assert late.id in {event.id for event in known}
        assert (erased[user.id].actor, erased[user.id].reason) == ("admin:ann", "request 17")
        assert erased[former.id].reason == f"with {user.id}"


@durable_users
@pytest.mark.parametrize("turns", range(0, 40, 4))
async def test_an_event_that_arrives_during_an_erasure_has_no_address(
    user_place: str, clock: Clock, turns: int
) -> None:
    """An event of a user, or of one who was merged into them, has no address after a concurrent erasure."""
    async with Database(user_place) as database:
        users, events = SqlUserRepository(database), SqlEvents(database, DEFAULT_POLICY)
        user, former = await made(users, clock), await made(users, clock)
        await users.merge(former.id, user.id, frozenset(), clock.now, CLI)
        late = [Event.of(EventType.SCAN_APPROVED, PHONE, clock.now, user_id=each.id) for each in (user, former)]
        await asyncio.gather(
            after(turns, users.erase(user.id, clock.advance(seconds=1), CLI)),
            *(after(20, events.add([event])) for event in late),
        )
        known = [event for each in (user, former) for event in await events.find(EventQuery(user_id=each.id))]

        assert {event.id for event in late} <= {event.id for event in known}
        assert [event.type for event in known if event.ip] == []


@durable_users
async def test_an_event_of_a_user_who_is_there_keeps_its_address(user_place: str, clock: Clock) -> None:
    """Addresses of users who were merged, or who are not erased, stay."""
    async with Database(user_place) as database:
        users, events = SqlUserRepository(database), SqlEvents(database, DEFAULT_POLICY)
        user, former = await made(users, clock), await made(users, clock)
        await users.merge(former.id, user.id, frozenset(), clock.now, CLI)
        late = [Event.of(EventType.SCAN_APPROVED, PHONE, clock.now, user_id=each.id) for each in (user, former)]
        await events.add(late)
        known = await events.find(EventQuery(user_id=user.id)) + await events.find(EventQuery(user_id=former.id))

        assert {event.ip for event in known if event.id in {each.id for each in late}} == {PHONE.ip}


@durable_users
async def test_a_revoked_consent_says_which(user_place: str, clock: Clock) -> None:
    """The event has the reason of its cause, or else the names of the fields."""
    async with Database(user_place) as database:
        users, events = SqlUserRepository(database), SqlEvents(database, DEFAULT_POLICY)
        user = await made(users, clock)
        await users.revoke_consent(user.id, frozenset({"name", "avatar"}), clock.now, WECHAT)
        with_number = Cause("wechat", reason="RevokeInfo 8")
        await users.revoke_consent(user.id, frozenset({"phone"}), clock.advance(seconds=1), with_number)
        found = await events.find(EventQuery(user_id=user.id, type="user.consent_revoked"))

        assert [(event.actor, event.reason) for event in found] == [
            ("wechat", "RevokeInfo 8"),
            ("wechat", "avatar,name"),
        ]


async def test_memory_knows_unique_numbers(clock: Clock) -> None:
    """The repository in memory refuses the number of another user, too."""
    users, number = MemoryUserRepository(unique_phones=True), NUMBER
    first, second = await made(users, clock), await made(users, clock)
    await users.bind_phone(first.id, number, clock.now, SYSTEM)
    with pytest.raises(PhoneTaken):
        await users.bind_phone(second.id, number, clock.now, SYSTEM)

    assert (await users.get(second.id)).phone is None
