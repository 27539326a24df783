"""The promises of KeyVault, on every adapter."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet, MultiFernet

from application.ports import KeyVault
from domain.errors import DataUndecryptable, Retry, StoreUnavailable
from domain.identity import AppId, Identity
from domain.session import UNKNOWN_CLIENT, Session, SessionPolicy, SessionToken
from domain.session_key import KeyRing, SessionKey
from support.clock import Clock
from support.servers import find_mariadb
from support.stores import Home, open_home

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
OLD, NEW = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
A, B, C = SessionKey("a" * 22 + "=="), SessionKey("b" * 22 + "=="), SessionKey("c" * 22 + "==")
DATABASES = ["sqlite", "postgresql", *(["mariadb"] if find_mariadb() else [])]
durable = pytest.mark.parametrize("session_place", ["redis", "redis-cluster", *DATABASES], indirect=True)


class World:
    """A vault, and accounts that nobody else has."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self.home, self.clock = home, clock
        self.store, self.vault = home.open(MultiFernet([OLD]))

    def account(self, appid: AppId = APP) -> Identity:
        """A new openid."""
        return Identity(appid, f"o{secrets.token_hex(13)}")

    async def keep(self, identity: Identity, *keys: SessionKey, vault: KeyVault | None = None) -> None:
        """Let the account have these keys, one after the other, a second apart."""
        for key in keys:
            await (vault or self.vault).replace(identity, key, self.clock.now, self.clock.now + timedelta(days=30))
            self.clock.advance(seconds=1)


@pytest.fixture
async def world(session_place: str, clock: Clock) -> AsyncIterator[World]:
    """The vault under test."""
    clock.now = datetime.now(UTC)
    async with open_home(session_place) as home:
        yield World(home, clock)


async def test_a_key_is_found_as_it_was_kept(world: World) -> None:
    """An account's first key is its newest, and replaced none."""
    account = world.account()
    await world.keep(account, A)

    assert await world.vault.find(account) == KeyRing(A)


async def test_a_login_keeps_the_key(world: World) -> None:
    """The key that a session starts with is its account's newest."""
    account = world.account()
    user, _ = await world.home.users.find_or_create(account, world.clock.now)
    session = Session.start(SessionToken.generate(), user.id, account, UNKNOWN_CLIENT, SessionPolicy(), world.clock.now)
    await world.store.start(session, A, 0)

    assert await world.vault.find(account) == KeyRing(A)


async def test_the_key_before_is_known_beside_the_newest(world: World) -> None:
    """A key that is replaced stays known with the time of its replacement; the one before it does not."""
    account = world.account()
    await world.keep(account, A, B)
    replaced_at = world.clock.now
    await world.keep(account, C)

    assert await world.vault.find(account) == KeyRing(C, B, replaced_at)


async def test_the_same_key_again_replaces_nothing(world: World) -> None:
    """WeChat often gives the same key again: the one before it, and when it was replaced, stay as they are."""
    account = world.account()
    await world.keep(account, A)
    replaced_at = world.clock.now
    await world.keep(account, B, B, B)

    assert await world.vault.find(account) == KeyRing(B, A, replaced_at)


async def test_an_account_has_no_other_accounts_key(world: World) -> None:
    """Keys are told apart by app and openid, both to the letter."""
    one = world.account()
    in_other_app = Identity(OTHER_APP, one.openid)
    other = Identity(APP, one.openid.upper())
    await world.keep(one, A)
    await world.keep(in_other_app, B)
    await world.keep(other, C)

    assert [(await world.vault.find(each)).current for each in (one, in_other_app, other)] == [A, B, C]


@pytest.mark.parametrize("openid", ["nobody", "*", "}:{", "a|b"])
async def test_an_unknown_account_has_to_log_in(world: World, openid: str) -> None:
    """Without a key nothing can be decrypted, and only a new login helps."""
    with pytest.raises(DataUndecryptable) as refused:
        await world.vault.find(Identity(APP, openid))

    assert refused.value.retry is Retry.NEW_CODE


async def test_logins_at_once_leave_two_of_their_keys(world: World) -> None:
    """However many logins of one account fall together, it has a newest key and the one before, both of theirs."""
    account = world.account()
    keys = [SessionKey(f"key {number}") for number in range(20)]
    await world.keep(account, keys[0])
    until = world.clock.now + timedelta(days=1)
    await asyncio.gather(*(world.vault.replace(account, key, world.clock.now, until) for key in keys[1:]))
    ring = await world.vault.find(account)

    assert {ring.current, ring.previous} <= set(keys)
    assert ring.previous not in (None, ring.current)


@durable
async def test_keys_survive_a_restart(world: World) -> None:
    """Another vault on the same server has the same keys."""
    account = world.account()
    await world.keep(account, A, B)
    _, restarted = world.home.open(MultiFernet([OLD]))

    assert await restarted.find(account) == await world.vault.find(account)


@durable
async def test_encryption_keys_rotate(world: World) -> None:
    """With a new encryption key before the old one all is read, and after a re-encryption the old one can go."""
    account = world.account()
    await world.keep(account, A, B)
    _, rotated = world.home.open(MultiFernet([NEW, OLD]))
    _, rotated_out = world.home.open(MultiFernet([NEW]))
    before = await rotated.find(account)
    with pytest.raises(DataUndecryptable):
        await rotated_out.find(account)

    counted = await rotated.reencrypt()

    assert counted.done >= 2
    assert await rotated_out.find(account) == before == await rotated.find(account)


@durable
async def test_reencryption_counts_what_is_lost_and_leaves_it(world: World) -> None:
    """What no encryption key opens is counted and left alone, should the key turn up again."""
    account = world.account()
    await world.keep(account, A)
    _, rotated_out = world.home.open(MultiFernet([NEW]))

    assert (await rotated_out.reencrypt()).lost >= 1
    assert await world.vault.find(account) == KeyRing(A)


@durable
async def test_a_lost_encryption_key_is_healed_by_a_login(world: World) -> None:
    """With the encryption key gone, the old key is DataUndecryptable, which says so; the next login's key is read."""
    account = world.account()
    await world.keep(account, A)
    _, rotated_out = world.home.open(MultiFernet([NEW]))
    with pytest.raises(DataUndecryptable, match="WXLOGIN_ENCRYPTION_KEYS"):
        await rotated_out.find(account)

    await world.keep(account, B, vault=rotated_out)

    assert await rotated_out.find(account) == KeyRing(B)


async def test_a_key_is_kept_as_long_as_the_longest_session(world: World, session_place: str) -> None:
    """A key outlives no session, and the shorter life of a later one takes nothing away."""
    account, short = world.account(), world.account()
    now = world.clock.now
    await world.vault.replace(account, A, now, now + timedelta(days=1))
    await world.vault.replace(account, A, now, now + timedelta(seconds=1))
    await world.vault.replace(short, A, now, now + timedelta(milliseconds=1))
    await asyncio.sleep(0.05)
    await world.store.purge(now + timedelta(seconds=2))

    assert await world.vault.find(account) == KeyRing(A)
    if session_place != "memory":
        with pytest.raises(DataUndecryptable):
            await world.vault.find(short)


@pytest.fixture
async def unreachable(unreachable_place: str) -> AsyncIterator[KeyVault]:
    """A vault whose server is not there."""
    async with open_home(unreachable_place) as home:
        yield home.open(MultiFernet([OLD]))[1]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda vault, who, _: vault.find(who), id="find"),
        pytest.param(lambda vault, who, now: vault.replace(who, A, now, now), id="replace"),
        pytest.param(lambda vault, *_: vault.reencrypt(), id="reencrypt"),
    ],
)
async def test_a_server_that_is_not_there_is_unavailable(
    unreachable: KeyVault, clock: Clock, call: Callable[[KeyVault, Identity, datetime], Awaitable[object]]
) -> None:
    """Whatever is asked of a vault whose server does not answer, it is StoreUnavailable, which says to try later."""
    with pytest.raises(StoreUnavailable) as failed:
        await call(unreachable, Identity(APP, "oAnn"), clock.now)

    assert failed.value.retry is Retry.LATER
