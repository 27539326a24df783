"""The promises of KeyVault, on every adapter."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from application.ports.key_vault import KeyVault
from domain.device import UNKNOWN_DEVICE
from domain.errors import DataUndecryptable, Retry, StoreUnavailable
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import KeyRing, SessionKey
from support.clock import Clock
from support.places import (
    KEY_PLACES,
    TECHNOLOGIES,
    durable_keys,
    each_unreachable,
    open_environment,
    redis_and_cluster,
    technology_of,
)
from support.stores import StoreEnvironment

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
A, B, C = SessionKey("a" * 22 + "=="), SessionKey("b" * 22 + "=="), SessionKey("c" * 22 + "==")


class Scenario:
    """A vault, and sessions of accounts that no other test uses."""

    def __init__(self, environment: StoreEnvironment, clock: Clock) -> None:
        self.environment, self.clock = environment, clock
        self.store, self.vault = environment.open([OLD])

    def session(self, user_id: str = "", *, max_age: timedelta = timedelta(days=30)) -> Session:
        """Return a session of a new account, and of a new user unless a user is given."""
        identity = Identity(APP, f"o{secrets.token_hex(13)}")
        return session_of(user_id or str(uuid4()), identity, self.clock.now, max_age)

    async def keep(self, session: Session, *keys: SessionKey, vault: KeyVault | None = None) -> None:
        """Store these keys for the session's account, one after the other, a second apart."""
        for key in keys:
            await (vault or self.vault).replace(session, key, self.clock.now)
            self.clock.advance(seconds=1)


def session_of(user_id: str, identity: Identity, now: datetime, max_age: timedelta) -> Session:
    """Return a session that starts now."""
    policy = SessionPolicy(idle=max_age, max_age=max_age)
    return Session.start(SessionToken.generate(), user_id, identity, UNKNOWN_DEVICE, policy, now)


@pytest.fixture(scope="session", params=KEY_PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of session_keys. Not every technology that stores sessions also stores them."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture
async def scenario(session_place: str, clock: Clock) -> AsyncIterator[Scenario]:
    """The vault under test."""
    clock.now = datetime.now(UTC)
    async with open_environment(session_place) as environment:
        yield Scenario(environment, clock)


async def test_a_stored_key_is_found(scenario: Scenario) -> None:
    """The first key of an account is its current key, and there is no previous key."""
    session = scenario.session()
    await scenario.keep(session, A)

    assert await scenario.vault.get(session) == KeyRing(A)


async def test_a_login_stores_the_key(scenario: Scenario) -> None:
    """The key that a session starts with becomes the current key of its account."""
    session = scenario.session()
    user, _ = await scenario.environment.users.find_or_create(session.identity, scenario.clock.now)
    session = replace(session, user_id=user.id)
    await scenario.store.start(session, A, 0)

    assert await scenario.vault.get(session) == KeyRing(A)


async def test_the_previous_key_is_found_beside_the_current_one(scenario: Scenario) -> None:
    """A replaced key stays available with the time of its replacement. The key before it does not."""
    session = scenario.session()
    await scenario.keep(session, A, B)
    replaced_at = scenario.clock.now
    await scenario.keep(session, C)

    assert await scenario.vault.get(session) == KeyRing(C, B, replaced_at)


async def test_the_same_key_again_replaces_nothing(scenario: Scenario) -> None:
    """When WeChat returns the same key again, the previous key and the time of its replacement do not change."""
    session = scenario.session()
    await scenario.keep(session, A)
    replaced_at = scenario.clock.now
    await scenario.keep(session, B, B, B)

    assert await scenario.vault.get(session) == KeyRing(B, A, replaced_at)


async def test_an_account_has_no_other_accounts_key(scenario: Scenario) -> None:
    """Keys belong to one app and openid, both case-sensitive, even when one user has all accounts."""
    one = scenario.session()
    in_other_app = replace(one, identity=Identity(OTHER_APP, one.identity.openid))
    other = replace(one, identity=Identity(APP, one.identity.openid.upper()))
    await scenario.keep(one, A)
    await scenario.keep(in_other_app, B)
    await scenario.keep(other, C)

    assert [(await scenario.vault.get(each)).current for each in (one, in_other_app, other)] == [A, B, C]


@pytest.mark.parametrize("openid", ["nobody", "*", "}:{", "a|b"])
async def test_an_unknown_account_has_to_log_in(scenario: Scenario, openid: str) -> None:
    """Without a stored key the vault raises DataUndecryptable, with the hint to log in again."""
    with pytest.raises(DataUndecryptable) as refused:
        await scenario.vault.get(replace(scenario.session(), identity=Identity(APP, openid)))

    assert refused.value.retry is Retry.NEW_CODE


async def test_concurrent_logins_leave_two_of_their_keys(scenario: Scenario) -> None:
    """After concurrent logins an account has a current and a previous key, both from those logins."""
    session = scenario.session()
    keys = [SessionKey(f"key {number}") for number in range(20)]
    await scenario.keep(session, keys[0])
    await asyncio.gather(*(scenario.vault.replace(session, key, scenario.clock.now) for key in keys[1:]))
    ring = await scenario.vault.get(session)

    assert {ring.current, ring.previous} <= set(keys)
    assert ring.previous not in (None, ring.current)


@durable_keys
async def test_keys_survive_a_restart(scenario: Scenario) -> None:
    """Another vault on the same server has the same keys."""
    session = scenario.session()
    await scenario.keep(session, A, B)
    _, restarted = scenario.environment.open([OLD])

    assert await restarted.get(session) == await scenario.vault.get(session)


@durable_keys
async def test_encryption_keys_rotate(scenario: Scenario) -> None:
    """A new encryption key before the old one reads all data. After a re-encryption the old key is not needed."""
    session = scenario.session()
    await scenario.keep(session, A, B)
    _, rotated = scenario.environment.open([NEW, OLD])
    _, rotated_out = scenario.environment.open([NEW])
    before = await rotated.get(session)
    with pytest.raises(DataUndecryptable):
        await rotated_out.get(session)

    counted = await rotated.reencrypt()

    assert counted.done >= 2
    assert await rotated_out.get(session) == before == await rotated.get(session)


@durable_keys
async def test_reencryption_counts_undecryptable_keys_and_does_not_change_them(scenario: Scenario) -> None:
    """Re-encryption counts a session_key that no encryption key decrypts, and does not change it."""
    session = scenario.session()
    await scenario.keep(session, A)
    _, rotated_out = scenario.environment.open([NEW])

    assert (await rotated_out.reencrypt()).lost >= 1
    assert await scenario.vault.get(session) == KeyRing(A)


@durable_keys
async def test_reencryption_overwrites_no_login(scenario: Scenario) -> None:
    """A key that a login stores during a re-encryption is the current key afterwards."""
    sessions = [scenario.session() for _ in range(40)]
    _, rotated = scenario.environment.open([NEW, OLD])
    for session in sessions:
        await scenario.keep(session, A)
    newest = {session.id: A for session in sessions}
    reencryption = asyncio.create_task(rotated.reencrypt())
    for session in cycle(sessions):
        if reencryption.done():  # a later login would hide what was overwritten
            break
        newest[session.id] = SessionKey(secrets.token_urlsafe(18))
        await rotated.replace(session, newest[session.id], scenario.clock.now)
    await reencryption

    assert {session.id: (await rotated.get(session)).current for session in sessions} == newest


@redis_and_cluster
async def test_reencryption_does_not_extend_a_keys_life(scenario: Scenario) -> None:
    """A re-encrypted key expires when it would have expired before."""
    session = scenario.session(max_age=timedelta(seconds=4))
    await scenario.keep(session, A)
    _, rotated = scenario.environment.open([NEW, OLD])
    await rotated.reencrypt()
    found = await rotated.get(session)
    await asyncio.sleep(4)

    assert found == KeyRing(A)
    with pytest.raises(DataUndecryptable):
        await rotated.get(session)


@durable_keys
async def test_a_login_replaces_a_key_without_its_encryption_key(scenario: Scenario) -> None:
    """Without the encryption key, the old session_key raises DataUndecryptable.

    The key of the next login is readable.
    """
    session = scenario.session()
    await scenario.keep(session, A)
    _, rotated_out = scenario.environment.open([NEW])
    with pytest.raises(DataUndecryptable, match="WXLOGIN_ENCRYPTION_KEYS"):
        await rotated_out.get(session)

    await scenario.keep(session, B, vault=rotated_out)

    assert await rotated_out.get(session) == KeyRing(B)


async def test_a_key_is_retained_as_long_as_the_longest_session(scenario: Scenario, session_place: str) -> None:
    """A key is retained as long as the longest session of its account.

    A later, shorter session does not shorten this.
    """
    session, short = scenario.session(), scenario.session(max_age=timedelta(milliseconds=1))
    shorter = session_of(session.user_id, session.identity, scenario.clock.now, timedelta(seconds=1))
    for each in (session, shorter, short):
        await scenario.vault.replace(each, A, scenario.clock.now)
    await asyncio.sleep(0.05)
    await scenario.store.purge(scenario.clock.now + timedelta(seconds=2))

    assert await scenario.vault.get(session) == KeyRing(A)
    if technology_of(session_place).durable:
        with pytest.raises(DataUndecryptable):
            await scenario.vault.get(short)


async def test_a_new_key_is_retained_as_long_as_the_one_it_replaced(scenario: Scenario) -> None:
    """A login with a short session does not remove the key of a longer session."""
    session = scenario.session()
    shorter = session_of(session.user_id, session.identity, scenario.clock.now, timedelta(milliseconds=1))
    await scenario.vault.replace(session, A, scenario.clock.now)
    await scenario.vault.replace(shorter, B, scenario.clock.now)
    scenario.clock.advance(hours=1)
    await scenario.store.purge(scenario.clock.now)
    await scenario.keep(scenario.session(session.user_id), C)

    assert (await scenario.vault.get(session)).current == B


@pytest.fixture
async def unreachable(unreachable_place: str) -> AsyncIterator[KeyVault]:
    """A vault whose server does not exist."""
    async with open_environment(unreachable_place) as environment:
        yield environment.open([OLD])[1]


@each_unreachable(KEY_PLACES)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda vault, session, _: vault.get(session), id="get"),
        pytest.param(lambda vault, session, now: vault.replace(session, A, now), id="replace"),
        pytest.param(lambda vault, *_: vault.reencrypt(), id="reencrypt"),
    ],
)
async def test_a_missing_server_raises_store_unavailable(
    unreachable: KeyVault, clock: Clock, call: Callable[[KeyVault, Session, datetime], Awaitable[object]]
) -> None:
    """Each operation on a vault whose server does not answer raises StoreUnavailable, with the hint to try later."""
    session = session_of("ann", Identity(APP, "oAnn"), clock.now, timedelta(days=1))
    with pytest.raises(StoreUnavailable) as failed:
        await call(unreachable, session, clock.now)

    assert failed.value.retry is Retry.LATER


async def test_a_session_without_a_key_leaves_the_keys(scenario: Scenario) -> None:
    """A session that starts without a session_key finds the account's key, and changes neither of both keys."""
    user, _ = await scenario.environment.users.find_or_create(Identity(APP, f"o{uuid4().hex}"), scenario.clock.now)
    first, later = (
        session_of(user.id, Identity(APP, f"o{user.id}"), scenario.clock.now, timedelta(days=30)) for _ in range(2)
    )
    await scenario.store.start(first, A, 0)
    await scenario.keep(first, B)
    before = await scenario.vault.get(first)
    await scenario.store.start(later, None, 0)

    assert before.current == B
    assert await scenario.vault.get(later) == before
    assert await scenario.store.find(later.id) is not None
