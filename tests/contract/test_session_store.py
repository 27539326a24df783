"""The promises of SessionStore, on every adapter."""

import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from application.ports.session_store import SessionStore
from domain.device import Device
from domain.errors import Retry, SessionExpired, StoreUnavailable, TokenInvalid
from domain.event import SYSTEM
from domain.identity import Identity
from domain.session import EndReason, Session, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock
from support.places import durable, open_environment, technology_of
from support.sessions import APP, KEYS, PHONE, POLICY, Scenario

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "device",
    [PHONE, Device(), Device("", "203.0.113.7"), Device("🀄" * 512, "f" * 45)],
    ids=["phone", "none", "", "long"],
)
async def test_a_session_is_found_unchanged(scenario: Scenario, device: Device) -> None:
    """The store returns a session unchanged, with times to the microsecond and at least the label of its device."""
    session = await scenario.start(device=device)
    labelled = replace(session, device=replace(device, user_agent=device.label))

    found = await scenario.store.find(session.id)

    assert found in (session, labelled)
    assert isinstance(found, Session)
    assert found.created_at.microsecond == 123456
    assert {found.created_at.tzinfo, found.last_seen_at.tzinfo, found.idle_expires_at.tzinfo} == {UTC}


async def test_a_session_without_a_unionid_is_found_without_one(scenario: Scenario) -> None:
    """A session without a unionid is returned without one."""
    session = scenario.new(await scenario.user())
    session = replace(session, identity=replace(session.identity, unionid=None))
    await scenario.store.start(session, SessionKey("a key"), 0)

    assert await scenario.store.find(session.id) == session


@pytest.mark.parametrize("session_id", ["", "0" * 32, "x" * 60, "会话", "\x00", "*", "' OR ''='"], ids=ascii)
async def test_an_unknown_id_finds_no_session(scenario: Scenario, session_id: str) -> None:
    """A lookup of an unknown id in any form returns nothing."""
    await scenario.start()

    assert await scenario.store.find(session_id) is None


async def test_an_expired_session_is_found_until_its_retention_is_over(scenario: Scenario) -> None:
    """For seven days after its expiry a session raises SessionExpired, and then TokenInvalid."""
    session = await scenario.start()
    now = scenario.clock.advance(days=7)
    found = await scenario.store.find(session.id)

    assert found
    with pytest.raises(SessionExpired):
        found.require_live(now)
    with pytest.raises(TokenInvalid):
        found.require_live(now + timedelta(days=7))


async def test_the_list_of_a_user_has_the_sessions_that_have_not_ended(scenario: Scenario) -> None:
    """The list of a user has the user's sessions that have not ended, and no session of another user."""
    user_id, other = await scenario.user(), await scenario.user()
    ended, *kept = [await scenario.start(user_id) for _ in range(4)]
    await scenario.start(other)
    await scenario.store.end([ended], EndReason.ENDED, scenario.clock.now, SYSTEM)
    mine = sorted(await scenario.store.list_for_user(user_id), key=lambda session: session.id)

    assert mine == sorted(kept, key=lambda session: session.id)
    assert await scenario.store.list_for_user(await scenario.user()) == []


@pytest.mark.parametrize("user_id", ["", "nobody", "用户", "\x00"], ids=ascii)
async def test_an_unknown_user_has_no_sessions(scenario: Scenario, user_id: str) -> None:
    """An unknown user id in any form has no sessions."""

    assert await scenario.store.list_for_user(user_id) == []


async def test_a_purge_deletes_sessions_whose_retention_is_over(scenario: Scenario, session_place: str) -> None:
    """A purge deletes sessions as soon as their retention is over, returns their number, and leaves all others."""
    await scenario.store.purge(scenario.clock.now + timedelta(days=365))
    ended, expired = await scenario.start(), await scenario.start()
    await scenario.store.end([ended], EndReason.ENDED, scenario.clock.now, SYSTEM)
    scenario.clock.advance(seconds=1)
    young = await scenario.start()
    drops_by_itself = technology_of(session_place).expires_by_itself

    assert await scenario.store.purge(ended.created_at + timedelta(days=7) - timedelta(microseconds=1)) == 0
    assert await scenario.reason(ended) is EndReason.ENDED
    assert await scenario.store.purge(ended.created_at + timedelta(days=7)) == (0 if drops_by_itself else 1)
    assert await scenario.store.purge(expired.retain_until) == (0 if drops_by_itself else 1)
    assert await scenario.store.find(young.id) == young
    assert drops_by_itself or [await scenario.store.find(gone.id) for gone in (ended, expired)] == [None, None]


@durable
async def test_sessions_survive_a_restart(scenario: Scenario) -> None:
    """Another store on the same server has the same sessions and end reasons."""
    live, ended = await scenario.start(), await scenario.start()
    await scenario.store.end([ended], EndReason.ENDED, scenario.clock.now, SYSTEM)

    restarted, _ = scenario.environment.open(KEYS)

    assert await restarted.find(live.id) == live
    assert await restarted.list_for_user(live.user_id) == [live]
    assert await restarted.find(ended.id) == ended.end(EndReason.ENDED, scenario.clock.now)


@durable
async def test_no_secret_is_stored_unencrypted(scenario: Scenario) -> None:
    """The stored bytes contain neither the session_key nor the token, as text or as bytes."""
    token, key = SessionToken.generate(), base64.b64encode(secrets.token_bytes(16)).decode()
    session = replace(scenario.new(await scenario.user()), id=token.session_id)
    await scenario.store.start(session, SessionKey(key), 0)

    kept = await scenario.environment.at_rest(session)

    assert session.identity.openid.encode() in kept
    assert (await scenario.vault.get(session)).current == SessionKey(key)
    for secret in (
        key.encode(),
        base64.b64decode(key),
        token.value.encode(),
        base64.urlsafe_b64decode(token.value + "="),
    ):
        assert secret not in kept
        assert secret.hex().encode() not in kept


ADDRESS_PARTS = ("127.0.0.1", "password", "nowhere", "no/such")
"""What the URLs of `unreachable_place` contain: host, credentials, database and directory."""


@pytest.fixture
async def unreachable(unreachable_place: str) -> AsyncIterator[SessionStore]:
    """A store whose server does not exist."""
    async with open_environment(unreachable_place) as environment:
        yield environment.open(KEYS)[0]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store, session: store.start(session, SessionKey("a key"), 3), id="start"),
        pytest.param(lambda store, session: store.find(session.id), id="find"),
        pytest.param(lambda store, session: store.touch(session), id="touch"),
        pytest.param(lambda store, session: store.list_for_user(session.user_id), id="list_for_user"),
        pytest.param(
            lambda store, session: store.end([session], EndReason.ENDED, session.created_at, SYSTEM), id="end"
        ),
        pytest.param(lambda store, session: store.move(session.user_id, "bob"), id="move"),
    ],
)
async def test_a_missing_server_raises_store_unavailable(
    unreachable: SessionStore, clock: Clock, call: Callable[[SessionStore, Session], Awaitable[object]]
) -> None:
    """Each operation on a store whose server does not answer raises StoreUnavailable without its URL."""
    identity = Identity(APP, "oAnn")
    session = Session.start(SessionToken.generate(), "ann", identity, Device(), POLICY, clock.now)
    with pytest.raises(StoreUnavailable) as failed:
        await call(unreachable, session)

    assert failed.value.retry is Retry.LATER
    assert not [part for part in ADDRESS_PARTS if part in failed.value.detail]
