"""Exports and erasures of a user's own data."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from adapters.memory.events import MemoryEvents
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.own_data import OwnData
from domain.device import Device
from domain.errors import NotFound, RequestInvalid
from domain.event import DEFAULT_POLICY, WECHAT, Cause, Event, EventQuery, EventType
from domain.identity import AppId, Identity
from domain.own_data import UserRecords
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from domain.user import PhoneNumber, ProfileChange, User
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Identity(AppId("wx0000000000000001"), "oAnn", "uAnn")
BOB = Identity(AppId("wx0000000000000001"), "oBob", "uBob")
PHONE = Device("MicroMessenger/8.0", "2001:db8::1")
USER = Cause.user(PHONE.ip)
OPERATOR = Cause.admin("carol", "192.0.2.7", "case 77")
NUMBER = PhoneNumber("+8613800000000")
KEY = SessionKey("a" * 22 + "==")


class World:
    """The use case on stores in memory."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.events = MemoryEvents(DEFAULT_POLICY)
        self.pending: list[Event] = []
        self.users = MemoryUserRepository(self.pending.extend)
        self.vault = MemoryKeyVault()
        self.store = MemorySessionStore(self.vault)
        self.own_data = OwnData(self.users, self.store, self.vault, self.events, clock=clock)

    async def log_in(self, identity: Identity) -> tuple[User, Session]:
        """Log a user in."""
        user, _ = await self.users.find_or_create(identity, self.clock.now)
        token = SessionToken.generate()
        session = Session.start(token, user.id, identity, PHONE, SessionPolicy(), self.clock.now)
        await self.store.start(session, KEY, 0)
        return user, session

    async def export(self, user_id: str) -> dict[str, Any]:
        """Keep the events, as stores that share a database do, and export."""
        await self.events.add(self.pending)
        return await self.own_data.export(user_id)


@pytest.fixture
def world(clock: Clock) -> World:
    """The use case on stores in memory."""
    return World(clock)


async def test_an_export_has_every_field_of_the_user(world: World) -> None:
    """Profile, phone, unionid, accounts, sessions and events are in the export, and no key."""
    user, session = await world.log_in(ANN)
    await world.users.change_profile(user.id, ProfileChange(name="小明", city="深圳"), world.clock.now)
    await world.users.bind_phone(user.id, NUMBER, world.clock.now, USER)
    document = await world.export(user.id)
    shown = document["user"]

    assert document["exported_at"] == world.clock.now
    assert (shown["id"], shown["name"], shown["city"], shown["phone"]) == (user.id, "小明", "深圳", NUMBER.value)
    assert [(each["appid"], each["openid"]) for each in shown["accounts"]] == [(ANN.appid.value, ANN.openid)]
    assert [(each["id"], each["ip"], each["end_reason"]) for each in document["sessions"]] == [
        (session.id, PHONE.ip, None)
    ]
    assert {each["type"] for each in document["events"]} == {"user.created", "user.phone_bound"}
    assert KEY.value not in str(document)


async def test_an_export_names_no_operator(world: World) -> None:
    """What an operator did is in the export with the reason, without the operator's name and address."""
    user, _ = await world.log_in(ANN)
    await world.users.block(user.id, world.clock.now, OPERATOR)
    document = await world.export(user.id)
    (block,) = [each for each in document["events"] if each["type"] == "user.blocked"]

    assert (block["actor"], block["ip"], block["reason"]) == ("admin", None, "case 77")
    assert "carol" not in str(document)


async def test_an_export_has_who_was_merged(world: World) -> None:
    """The record of a merged user and their events are in the export, by the id of either."""
    (ann, _), (bob, _) = await world.log_in(ANN), await world.log_in(BOB)
    await world.users.merge(bob.id, ann.id, frozenset({"unionid"}), world.clock.now, OPERATOR)
    document = await world.export(bob.id)
    (merged,) = document["merged_users"]

    assert document["user"]["id"] == ann.id
    assert (merged["id"], merged["user"]["unionid"]) == (bob.id, BOB.unionid)
    assert merged["user"]["accounts"] == [{"appid": BOB.appid.value, "openid": BOB.openid}]
    assert {each["user_id"] for each in document["events"]} == {ann.id, bob.id}


async def test_an_export_has_the_sessions_that_a_merge_did_not_move(world: World) -> None:
    """After a merge that was interrupted before it moved the sessions, those under the old id are in the export."""
    (ann, old), (bob, new) = await world.log_in(ANN), await world.log_in(BOB)
    await world.users.merge(ann.id, bob.id, frozenset({"unionid"}), world.clock.now, OPERATOR)
    document = await world.export(bob.id)

    assert {each["id"] for each in document["sessions"]} == {old.id, new.id}


async def test_an_export_has_the_events_that_wait_for_a_webhook(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that are stored for a webhook alone are in the export, and no event is there twice."""
    user, session = await world.log_in(ANN)
    started = session.started_event()
    records = replace(await world.users.records_of(user.id), waiting=(started, *world.pending))

    async def with_waiting(_user_id: str) -> UserRecords:
        return records

    monkeypatch.setattr(world.users, "records_of", with_waiting)
    events = (await world.export(user.id))["events"]

    assert [(each["type"], each["ip"]) for each in events if each["id"] == started.id] == [
        ("session.started", PHONE.ip)
    ]
    assert sorted(each["type"] for each in events) == ["session.started", "user.created"]


async def test_an_export_has_all_events(world: World) -> None:
    """An export is not cut off: a thousand events are all there, newest first."""
    user, _ = await world.log_in(ANN)
    for _ in range(1100):
        world.clock.advance(seconds=1)
        world.pending.append(Event.of(EventType.USER_PHONE_BOUND, USER, world.clock.now, user_id=user.id))
    times: list[datetime] = [each["time"] for each in (await world.export(user.id))["events"]]

    assert len(times) == 1101
    assert times == sorted(times, reverse=True)


async def test_an_erasure_is_in_the_order_of_its_steps(world: World) -> None:
    """After an erasure there is no user, no session and no key, and a repeat says that there was none."""
    user, session = await world.log_in(ANN)
    first = await world.own_data.erase(user.id, USER)
    again = await world.own_data.erase(user.id, USER)

    assert (first, again) == (True, False)
    assert await world.store.list_for_user(user.id) == []
    assert not isinstance(await world.store.find(session.id), Session)
    with pytest.raises(NotFound):
        await world.own_data.export(user.id)


async def test_events_in_memory_lose_the_address_of_an_erased_user(world: World) -> None:
    """Events that were kept, and events that arrive later, have no address of the user. An operator's stays."""
    user, _ = await world.log_in(ANN)
    await world.users.bind_phone(user.id, NUMBER, world.clock.now, USER)
    await world.users.block(user.id, world.clock.now, OPERATOR)
    await world.events.add(world.pending)
    await world.own_data.erase(user.id, USER)
    late = Event.of(EventType.SCAN_DENIED, USER, world.clock.now, user_id=user.id)
    await world.events.add([*world.pending, late])
    kept = await world.events.find(EventQuery(user_id=user.id))

    assert late.id in {event.id for event in kept}
    assert [event.type for event in kept if event.ip] == [EventType.USER_BLOCKED]


async def test_a_consent_is_revoked_by_account(world: World) -> None:
    """A consent is revoked for the user of an account. An unknown account is no error, and creates no user."""
    user, _ = await world.log_in(ANN)
    await world.users.bind_phone(user.id, NUMBER, world.clock.now, USER)
    changed = await world.own_data.revoke_consent(ANN.appid, ANN.openid, frozenset({"phone"}), WECHAT)
    unknown = await world.own_data.revoke_consent(BOB.appid, BOB.openid, frozenset({"phone"}), WECHAT)

    assert changed is not None
    assert (changed.id, changed.phone) == (user.id, None)
    assert unknown is None
    assert await world.users.find_account(BOB) is None


async def test_a_consent_for_an_unknown_field_is_refused(world: World) -> None:
    """A field for which there is no consent raises RequestInvalid, and changes nothing."""
    user, _ = await world.log_in(ANN)
    before = await world.users.get(user.id)
    with pytest.raises(RequestInvalid, match="city"):
        await world.own_data.revoke_consent(ANN.appid, ANN.openid, frozenset({"phone", "city"}), WECHAT)

    assert await world.users.get(user.id) == before
