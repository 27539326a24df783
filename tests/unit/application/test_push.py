"""What becomes of the events that WeChat pushes."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from adapters.memory.events import MemoryEvents
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.push_forwarder import MemoryPushForwarder
from adapters.memory.push_reader import MemoryPushReader
from adapters.memory.push_store import MemoryPushStore
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from adapters.sql.connections import CLOSE_SECONDS
from adapters.wechat.push_forwarder import FORWARD_SECONDS
from application.own_data import OwnData
from application.ports.push_store import PushStore
from application.push import APPLY_SECONDS, STORE_SECONDS, Pushes
from domain.errors import NotFound, StoreUnavailable
from domain.event import DEFAULT_POLICY, SYSTEM, Cause
from domain.identity import AppId, Identity
from domain.push import Handled, Push, PushNotForwarded, PushOutcome, PushType, RawPush
from domain.user import PhoneNumber, ProfileChange, User
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP = AppId("wx0000000000000001")
ANN = Identity(APP, "oAnn")
PHONE = PhoneNumber("+8613800138000")


class Outage(MemoryUserRepository):
    """A repository that can be away, or hang."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = self.hangs = False

    async def find_account(self, identity: Identity) -> User | None:
        """See UserRepository."""
        if self.is_away:
            raise StoreUnavailable
        if self.hangs:
            await asyncio.Event().wait()
        return await super().find_account(identity)


class Sessions(MemorySessionStore):
    """A session store that can be away."""

    is_away = False

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore."""
        if self.is_away:
            raise StoreUnavailable
        return await super().erase(user_id, now, cause, last)


class DurableStore(MemoryPushStore):
    """A store that outlives processes, such as Redis."""

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        await super().postpone(push)
        return True


class AbsentStore(PushStore):
    """A store that is away."""

    async def was_handled(self, push_id: str) -> bool:
        """See PushStore."""
        raise StoreUnavailable

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""
        raise StoreUnavailable

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        raise StoreUnavailable

    async def postponed(self) -> list[Push]:
        """See PushStore."""
        raise StoreUnavailable

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        raise StoreUnavailable


class World:
    """WeChat, the users, and the use case between them."""

    def __init__(self, clock: Clock, store: PushStore, *, forwards: bool = True) -> None:
        self.clock, self.users, self.reader, self.forwarder = (
            clock,
            Outage(),
            MemoryPushReader(),
            MemoryPushForwarder(),
        )
        vault = MemoryKeyVault()
        self.sessions = Sessions(vault)
        own_data = OwnData(self.users, self.sessions, vault, MemoryEvents(DEFAULT_POLICY), clock=clock)
        forwarder = self.forwarder if forwards else None
        self.pushes = Pushes(self.reader, self.users, own_data, store, forwarder, {APP})

    async def ann(self) -> User:
        """Return a user with a phone number and a profile, who was created an hour ago."""
        hour_ago = self.clock.now - timedelta(hours=1)
        user, _ = await self.users.find_or_create(ANN, hour_ago)
        await self.users.change_profile(user.id, ProfileChange(name="Ann", avatar="a", city="Bern"), hour_ago)
        return await self.users.bind_phone(user.id, PHONE, hour_ago, SYSTEM)

    def push(self, kind: PushType | None, *revoked: int, number: str = "1", **more: object) -> Push:
        """Return a push about Ann."""
        push = Push(f"{kind}-{revoked}-{number}", APP, str(kind), self.clock.now, kind, ANN.openid, revoked)
        return replace(push, **more)  # type: ignore[arg-type]  # fields of a push

    async def receive(self, push: Push) -> Handled:
        """Let WeChat push it."""
        body = push.id.encode()
        self.reader.pushes[body] = push
        return await self.pushes.receive(APP.value, RawPush("a=1", body, "text/xml"))

    async def apply(self) -> list[Handled]:
        """Apply what was postponed."""
        return [handled async for handled in self.pushes.apply_postponed()]

    async def outcome(self, push: Push) -> PushOutcome:
        """Let WeChat push it, and return what became of it."""
        return (await self.receive(push)).outcome


@pytest.fixture
def store(clock: Clock) -> MemoryPushStore:
    """A store of this process."""
    return MemoryPushStore(clock)


@pytest.fixture
def world(clock: Clock, store: MemoryPushStore) -> World:
    """A world with a store in memory."""
    return World(clock, store)


CONSENTS: Mapping[int, tuple[PushOutcome, set[str]]] = {
    1: (PushOutcome.RECORDED, set()),
    6: (PushOutcome.FORGOTTEN, {"name", "avatar"}),
    8: (PushOutcome.FORGOTTEN, {"phone"}),
    16: (PushOutcome.RECORDED, set()),
    19: (PushOutcome.FORGOTTEN, {"name", "avatar"}),
    20: (PushOutcome.FORGOTTEN, {"name", "avatar"}),
    201: (PushOutcome.RECORDED, set()),
}


@pytest.mark.parametrize("number", CONSENTS)
async def test_a_revocation_forgets_what_its_consent_covers(world: World, number: int) -> None:
    """Each number of RevokeInfo empties its own fields."""
    user = await world.ann()
    handled = await world.receive(world.push(PushType.CONSENT_REVOKED, number))
    left = await world.users.get(user.id)
    emptied = {name for name in ("name", "avatar", "city") if not getattr(left.profile, name)}
    emptied |= set() if left.phone else {"phone"}

    assert (handled.outcome, emptied) == CONSENTS[number]
    assert handled.user_id == user.id


async def test_several_numbers_are_all_revoked(world: World) -> None:
    """A push with several numbers forgets what all of them cover."""
    user = await world.ann()
    outcome = await world.outcome(world.push(PushType.CONSENT_REVOKED, 8, 6, 1))
    left = await world.users.get(user.id)

    assert outcome is PushOutcome.FORGOTTEN
    assert (left.phone, left.profile.name, left.profile.city) == (None, "", "Bern")


async def test_a_cancelled_account_erases_its_user(world: World) -> None:
    """A cancellation erases the user."""
    user = await world.ann()
    outcome = await world.outcome(world.push(PushType.ACCOUNT_CANCELLED))
    with pytest.raises(NotFound):
        await world.users.get(user.id)

    assert outcome is PushOutcome.ERASED


@pytest.mark.parametrize("kind", PushType)
async def test_an_unknown_account_is_no_error(world: World, kind: PushType) -> None:
    """A push about no user has no effect."""
    assert await world.outcome(world.push(kind, 8)) is PushOutcome.UNKNOWN_USER


@pytest.mark.parametrize("kind", PushType)
async def test_a_push_that_is_older_than_the_account_has_no_effect(world: World, kind: PushType) -> None:
    """A push from before the account was created is about an earlier user with the same openid."""
    before = await world.users.get((await world.ann()).id)
    old = world.push(kind, 8, time=before.created_at.replace(microsecond=0) - timedelta(seconds=1))
    outcome = await world.outcome(old)

    assert outcome is PushOutcome.OUTDATED
    assert await world.users.get(before.id) == before


async def test_a_push_of_the_second_of_the_login_counts(world: World) -> None:
    """WeChat gives whole seconds: a push of the second in which the account was created is about it."""
    user = await world.ann()
    outcome = await world.outcome(world.push(PushType.ACCOUNT_CANCELLED, time=user.created_at.replace(microsecond=0)))

    assert outcome is PushOutcome.ERASED


async def test_a_repeat_has_no_effect(world: World) -> None:
    """A repeat is recognized, and what the user gave since stays."""
    user = await world.ann()
    push = world.push(PushType.CONSENT_REVOKED, 8)
    first = await world.outcome(push)
    await world.users.bind_phone(user.id, PHONE, world.clock.now, SYSTEM)
    second = await world.outcome(push)

    assert (first, second) == (PushOutcome.FORGOTTEN, PushOutcome.REPEATED)
    assert (await world.users.get(user.id)).phone


@pytest.mark.parametrize("days", [0, 30])
async def test_a_repeat_that_no_store_remembers_has_no_effect(clock: Clock, days: int) -> None:
    """Without a PushStore, and after any time, the id of the event stops a repeat of a revocation."""
    world = World(clock, AbsentStore())
    user = await world.ann()
    push = world.push(PushType.CONSENT_REVOKED, 8)
    first = await world.outcome(push)
    await world.users.bind_phone(user.id, PHONE, clock.advance(days=days), SYSTEM)
    second = await world.outcome(push)

    assert (first, second) == (PushOutcome.FORGOTTEN, PushOutcome.REPEATED)
    assert (await world.users.get(user.id)).phone


async def test_a_cancellation_that_the_session_store_interrupts_is_finished_by_its_repeat(world: World) -> None:
    """When the sessions cannot be ended, the user is still found by the repeat, which ends and erases all."""
    user = await world.ann()
    world.sessions.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.receive(world.push(PushType.ACCOUNT_CANCELLED))
    world.sessions.is_away = False
    handled = await world.apply()
    with pytest.raises(NotFound):
        await world.users.get(user.id)

    assert [each.outcome for each in handled] == [PushOutcome.ERASED]


async def test_a_repeated_cancellation_spares_the_next_user(clock: Clock) -> None:
    """Without a PushStore, the time of the account stops a repeat of a cancellation."""
    world = World(clock, AbsentStore())
    await world.ann()
    push = world.push(PushType.ACCOUNT_CANCELLED)
    await world.outcome(push)
    again, _ = await world.users.find_or_create(ANN, clock.advance(seconds=1))

    assert await world.outcome(push) is PushOutcome.OUTDATED
    assert (await world.users.get(again.id)).id == again.id


async def test_other_events_are_forwarded_once(world: World) -> None:
    """An event that does not concern users is forwarded as it came, and its repeat is not."""
    push = world.push(None)
    outcomes = [await world.outcome(push) for _ in range(2)]

    assert outcomes == [PushOutcome.FORWARDED, PushOutcome.REPEATED]
    assert world.forwarder.received == [RawPush("a=1", push.id.encode(), "text/xml")]


async def test_what_was_not_forwarded_can_be_repeated(world: World) -> None:
    """An event that could not be forwarded is forwarded when WeChat repeats it."""
    push = world.push(None)
    world.forwarder.is_away = True
    with pytest.raises(PushNotForwarded):
        await world.receive(push)
    world.forwarder.is_away = False

    assert await world.outcome(push) is PushOutcome.FORWARDED


@pytest.mark.parametrize("kind", PushType)
async def test_events_about_users_are_not_forwarded(world: World, kind: PushType) -> None:
    """What this service acts on is not forwarded."""
    await world.ann()
    await world.receive(world.push(kind, 8))

    assert world.forwarder.received == []


async def test_without_an_address_other_events_are_ignored(clock: Clock, store: MemoryPushStore) -> None:
    """Without a forwarder, an event that does not concern users is received and ignored."""
    world = World(clock, store, forwards=False)

    assert await world.outcome(world.push(None)) is PushOutcome.IGNORED


@pytest.mark.parametrize("how", ["is_away", "hangs"])
async def test_a_durable_store_keeps_a_push_for_the_database(clock: Clock, how: str) -> None:
    """While the database is away, a push is kept. It is applied once when the database is back."""
    world = World(clock, DurableStore(clock))
    user = await world.ann()
    setattr(world.users, how, True)
    outcome = await world.outcome(world.push(PushType.CONSENT_REVOKED, 8))
    setattr(world.users, how, False)
    applied = [await world.apply() for _ in range(2)]

    assert outcome is PushOutcome.POSTPONED
    assert [[each.outcome for each in handled] for handled in applied] == [[PushOutcome.FORGOTTEN], []]
    assert (await world.users.get(user.id)).phone is None


async def test_a_push_that_only_this_process_keeps_is_asked_for_again(world: World) -> None:
    """Without a durable store, WeChat should repeat the push, and the process applies it in any case."""
    user = await world.ann()
    world.users.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.receive(world.push(PushType.CONSENT_REVOKED, 8))
    world.users.is_away = False
    applied = await world.apply()

    assert [each.outcome for each in applied] == [PushOutcome.FORGOTTEN]
    assert (await world.users.get(user.id)).phone is None


async def test_a_push_stays_postponed_while_the_database_is_away(world: World) -> None:
    """An attempt that fails keeps the push."""
    await world.ann()
    world.users.is_away = True
    for attempt in (world.receive(world.push(PushType.CONSENT_REVOKED, 8)), world.apply()):
        with pytest.raises(StoreUnavailable):
            await attempt
    world.users.is_away = False

    assert len(await world.apply()) == 1


async def test_nothing_is_promised_while_all_stores_are_away(clock: Clock) -> None:
    """Without the database and without the PushStore, WeChat should repeat the push."""
    world = World(clock, AbsentStore())
    await world.ann()
    world.users.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.receive(world.push(PushType.CONSENT_REVOKED, 8))


def test_all_steps_together_take_less_than_two_seconds() -> None:
    """The time limits of all steps leave a tenth of the two seconds that WeChat gets its answer in."""
    marks, silent = 2 * STORE_SECONDS, APPLY_SECONDS + CLOSE_SECONDS  # a silent server's connection is closed, too

    assert marks + max(silent, FORWARD_SECONDS) <= 1.8


@pytest.mark.parametrize("appid", ["wx0000000000000002", "", "a b", "a" * 100])
async def test_an_unknown_app_is_not_found(world: World, appid: str) -> None:
    """An app that is not configured has no pushes."""
    with pytest.raises(NotFound):
        await world.pushes.receive(appid, RawPush(""))
    with pytest.raises(NotFound):
        world.pushes.check_address(appid, RawPush(""))
