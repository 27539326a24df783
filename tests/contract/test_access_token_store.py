"""The promises of AccessTokenStore, on every adapter."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet, MultiFernet

from adapters.crypto.ciphers import FernetCipher
from adapters.memory.access_token_store import MemoryAccessTokenStore
from adapters.redis.access_token_store import RedisAccessTokenStore
from adapters.redis.client import create_client
from adapters.sql.access_token_store import SqlAccessTokenStore
from adapters.sql.database import Database
from application.ports.access_token_store import AccessTokenStore
from domain.access_token import AccessToken, AccessTokenState, Refusal
from domain.errors import Retry, StoreUnavailable
from domain.identity import AppId
from support.clock import Clock
from support.places import DATABASES, IN_REDIS, SHARED_PLACES, TECHNOLOGIES, each_place, each_unreachable
from support.proxy import How, proxy
from support.stores import read_key, read_rows

pytestmark = pytest.mark.anyio

OLD, NEW = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
LEASE = timedelta(seconds=7)

PLACES = ["memory", *IN_REDIS, "redis-sentinel", *DATABASES]

durable = each_place([*IN_REDIS, *DATABASES])
redis_and_cluster = each_place(IN_REDIS)
by_the_hosts_clock = each_place(["memory", *DATABASES])

Open = Callable[[MultiFernet], AccessTokenStore]


class Scenario:
    """A token store, with access to its stored bytes."""

    def __init__(self, open_store: Open, at_rest: Callable[[AppId], Awaitable[bytes]], clock: Clock) -> None:
        self.open, self.at_rest, self.clock = open_store, at_rest, clock
        self.store = open_store(MultiFernet([OLD]))

    def app(self) -> AppId:
        """Return an app that no other test uses."""
        return AppId(f"wx{secrets.token_hex(8)}")

    def token(self) -> AccessToken:
        """Return a new token."""
        return AccessToken(secrets.token_urlsafe(96), self.clock.now + timedelta(hours=2))

    async def acquire_lease(self, appid: AppId, holder: str = "me", lease: timedelta = LEASE) -> bool:
        """Try to acquire the lease now."""
        return await self.store.acquire_lease(appid, holder, self.clock.now, lease)

    async def keep(self, appid: AppId, state: AccessTokenState, holder: str = "me") -> None:
        """Store a state as `holder`."""
        assert await self.acquire_lease(appid, holder)
        await self.store.save_and_release(appid, holder, state)


async def _nothing(_appid: AppId) -> bytes:
    return b""


@asynccontextmanager
async def open_world(place: str, clock: Clock) -> AsyncIterator[Scenario]:
    """Open the store at a place."""
    if place == "memory":
        store = MemoryAccessTokenStore()
        yield Scenario(lambda _: store, _nothing, clock)
    elif place.startswith("redis"):
        async with create_client(place) as redis:

            async def read_redis(appid: AppId) -> bytes:
                keys = [key async for key in redis.scan_iter(f"*{appid}*")]
                return b"\n".join([*keys, *[part for key in keys for part in await read_key(redis, key)]])

            yield Scenario(lambda cipher: RedisAccessTokenStore(redis, FernetCipher(cipher)), read_redis, clock)
    else:
        async with Database(place) as database:

            async def read_database(appid: AppId) -> bytes:
                statement = "SELECT * FROM access_tokens WHERE appid = :appid"
                return await read_rows(database, {"appid": appid.value}, statement)

            yield Scenario(lambda cipher: SqlAccessTokenStore(database, FernetCipher(cipher)), read_database, clock)


@pytest.fixture(scope="session", params=PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of access tokens. Not every technology that stores sessions also stores access tokens."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture
async def scenario(session_place: str, clock: Clock) -> AsyncIterator[Scenario]:
    """The store under test."""
    async with open_world(session_place, clock) as scenario:
        yield scenario


async def test_a_new_app_has_an_empty_state(scenario: Scenario) -> None:
    """An app without a stored state has neither a token nor a refusal."""
    assert await scenario.store.load(scenario.app()) == AccessTokenState()


async def test_a_saved_token_is_loaded_unchanged(scenario: Scenario) -> None:
    """The store returns a token unchanged, with its expiry in UTC and to the microsecond."""
    appid, token = scenario.app(), scenario.token()
    await scenario.keep(appid, AccessTokenState(token))
    found = await scenario.store.load(appid)

    assert found == AccessTokenState(token)
    assert found.token
    assert found.token.expires_at.microsecond == 123456
    assert found.token.expires_at.tzinfo == UTC


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("rate_limited", "slower", datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC), 45011, "6374a1b2-0-1"),
        Refusal("wechat_unavailable", "不可用 👩", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
    ids=["with WeChat's words", "without"],
)
@pytest.mark.parametrize("has_token", [True, False], ids=["beside a token", "alone"])
async def test_a_refusal_is_loaded_unchanged(scenario: Scenario, refusal: Refusal, has_token: bool) -> None:
    """The store returns a refusal unchanged, and does not change the token beside it."""
    appid, state = scenario.app(), AccessTokenState(scenario.token() if has_token else None, refusal)
    await scenario.keep(appid, state)

    assert await scenario.store.load(appid) == state


async def test_the_longest_token_is_stored(scenario: Scenario) -> None:
    """The store returns a token of 2048 characters and a long refusal unchanged."""
    appid, token = scenario.app(), AccessToken("t" * 2048, scenario.clock.now)
    state = AccessTokenState(token, Refusal("wechat_unavailable", "d" * 300, scenario.clock.now, 2**63, "r" * 26))
    await scenario.keep(appid, state)

    assert await scenario.store.load(appid) == state


async def test_a_newer_state_replaces_the_whole_older_one(scenario: Scenario) -> None:
    """A new state replaces the old one completely, with its token and its refusal."""
    appid, token = scenario.app(), scenario.token()
    await scenario.keep(
        appid, AccessTokenState(scenario.token(), Refusal("rate_limited", "slower", scenario.clock.now))
    )
    await scenario.keep(appid, AccessTokenState(token))

    assert await scenario.store.load(appid) == AccessTokenState(token)


async def test_apps_have_separate_states_and_leases(scenario: Scenario) -> None:
    """Tokens and leases belong to one app. Appids that differ only in case are different apps."""
    one = scenario.app()
    other = AppId(one.value.upper())
    await scenario.keep(one, AccessTokenState(scenario.token()))
    before = await scenario.store.load(one)

    assert await scenario.acquire_lease(one)
    assert await scenario.acquire_lease(other, "somebody else")
    await scenario.store.save_and_release(other, "somebody else", AccessTokenState(scenario.token()))
    assert await scenario.store.load(one) == before
    assert await scenario.store.load(other) not in (before, AccessTokenState())


async def test_a_lease_excludes_all_others(scenario: Scenario) -> None:
    """While one process holds the lease, no call acquires it again, under any name.

    The stored state does not change.
    """
    appid, state = scenario.app(), AccessTokenState(scenario.token())
    await scenario.keep(appid, state)

    assert await scenario.acquire_lease(appid, "one")
    assert not await scenario.acquire_lease(appid, "another")
    assert not await scenario.acquire_lease(appid, "one")
    assert await scenario.store.load(appid) == state


async def test_a_released_lease_can_be_acquired(scenario: Scenario) -> None:
    """After the holder releases the lease, the next process can acquire it."""
    appid = scenario.app()
    for holder in ("one", "another", "one"):
        await scenario.keep(appid, AccessTokenState(scenario.token()), holder)

    assert await scenario.acquire_lease(appid, "a third")


@by_the_hosts_clock
async def test_a_dead_holders_lease_expires(scenario: Scenario) -> None:
    """The lease of a dead holder expires after its time, to the microsecond. One other process can then acquire it."""
    appid = scenario.app()
    await scenario.acquire_lease(appid, "a process that died")
    scenario.clock.advance(seconds=LEASE.total_seconds() - 0.000001)
    early = await scenario.acquire_lease(appid, "another")
    scenario.clock.advance(seconds=0.000001)

    assert not early
    assert await scenario.acquire_lease(appid, "another")
    assert not await scenario.acquire_lease(appid, "a third")


async def test_a_lost_answer_holds_the_lease_no_longer_than_its_time(redis_url: str, clock: Clock) -> None:
    """When the answer to a granted lease is lost, other processes can acquire the lease after it expires."""
    server, appid, lease = urlsplit(redis_url), AppId(f"wx{secrets.token_hex(8)}"), timedelta(seconds=1)
    with proxy((str(server.hostname), server.port or 6379)) as between:
        async with open_world(f"redis://127.0.0.1:{between.port}{server.path}", clock) as cut_off:
            await cut_off.store.load(appid)
            between.become(How.CUT_ONCE)
            with pytest.raises(StoreUnavailable):
                await cut_off.acquire_lease(appid, "cut off", lease)
    async with open_world(redis_url, clock) as scenario:
        early = await scenario.acquire_lease(appid, "another")
        await asyncio.sleep(lease.total_seconds())

        assert not early
        assert await scenario.acquire_lease(appid, "another")


@redis_and_cluster
async def test_redis_expires_a_dead_holders_lease(scenario: Scenario) -> None:
    """In Redis a lease expires after its time, independent of the clocks of the processes."""
    appid = scenario.app()
    await scenario.acquire_lease(appid, "a process that died", timedelta(milliseconds=300))
    early = await scenario.acquire_lease(appid, "another")

    assert not early
    assert await becomes_free(scenario, appid)


async def becomes_free(scenario: Scenario, appid: AppId) -> bool:
    """Return whether the lease can be acquired within a few seconds."""
    for _ in range(250):
        if await scenario.acquire_lease(appid, "another"):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("is_held", [True, False], ids=["held by another", "free"])
async def test_a_process_without_the_lease_releases_nothing(scenario: Scenario, is_held: bool) -> None:
    """A process that does not hold the lease changes neither the stored state nor the lease."""
    appid, state = scenario.app(), AccessTokenState(scenario.token())
    await scenario.keep(appid, state)
    if is_held:
        await scenario.acquire_lease(appid, "the holder")
    await scenario.store.save_and_release(appid, "a stranger", AccessTokenState(scenario.token()))

    assert await scenario.store.load(appid) == state
    assert await scenario.acquire_lease(appid, "another") is not is_held


@by_the_hosts_clock
async def test_a_holder_that_was_too_slow_releases_nothing(scenario: Scenario) -> None:
    """A process whose lease has passed to another cannot store its late result."""
    appid, state = scenario.app(), AccessTokenState(scenario.token())
    await scenario.acquire_lease(appid, "slow")
    scenario.clock.advance(seconds=LEASE.total_seconds())
    await scenario.acquire_lease(appid, "next")
    await scenario.store.save_and_release(appid, "slow", AccessTokenState(scenario.token()))
    meanwhile = await scenario.store.load(appid)
    await scenario.store.save_and_release(appid, "next", state)

    assert meanwhile == AccessTokenState()
    assert await scenario.store.load(appid) == state


@pytest.mark.parametrize("is_known", [True, False], ids=["a known app", "a new app"])
async def test_one_of_many_at_once_gets_the_lease(scenario: Scenario, is_known: bool) -> None:
    """Of twenty processes that acquire the lease at once, exactly one succeeds, and no call fails."""
    appid = scenario.app()
    if is_known:
        await scenario.keep(appid, AccessTokenState(scenario.token()))
    answers = await asyncio.gather(*(scenario.acquire_lease(appid, f"process {number}") for number in range(20)))

    assert sorted(answers) == [False] * 19 + [True]


@durable
async def test_tokens_survive_a_restart(scenario: Scenario) -> None:
    """Another store on the same server has the same state and respects the leases."""
    appid, state = (
        scenario.app(),
        AccessTokenState(scenario.token(), Refusal("rate_limited", "slower", scenario.clock.now)),
    )
    await scenario.keep(appid, state)
    await scenario.acquire_lease(appid, "before")
    restarted = scenario.open(MultiFernet([OLD]))

    assert await restarted.load(appid) == state
    assert not await restarted.acquire_lease(appid, "after", scenario.clock.now, LEASE)


@durable
async def test_tokens_are_stored_encrypted(scenario: Scenario) -> None:
    """The stored bytes contain neither the token nor the refusal in readable form."""
    appid, token = scenario.app(), scenario.token()
    await scenario.keep(appid, AccessTokenState(token, Refusal("rate_limited", "5l0wer", scenario.clock.now)))
    kept = await scenario.at_rest(appid)

    assert appid.value.encode() in kept
    assert b"gAAAA" in kept
    for secret in (token.value.encode(), token.value.encode().hex().encode(), b"5l0wer", b"rate_limited"):
        assert secret not in kept


@durable
async def test_encryption_keys_rotate(scenario: Scenario) -> None:
    """With a new encryption key before the old one, the store still reads the old state."""
    appid, state = scenario.app(), AccessTokenState(scenario.token())
    await scenario.keep(appid, state)

    assert await scenario.open(MultiFernet([NEW, OLD])).load(appid) == state


@durable
async def test_without_the_encryption_key_the_state_is_empty(scenario: Scenario) -> None:
    """Without the encryption key the store returns an empty state, and the next token replaces the unreadable one."""
    appid, state = scenario.app(), AccessTokenState(scenario.token())
    await scenario.keep(appid, AccessTokenState(scenario.token()))
    rotated_out = scenario.open(MultiFernet([NEW]))
    before = await rotated_out.load(appid)
    assert await rotated_out.acquire_lease(appid, "me", scenario.clock.now, LEASE)
    await rotated_out.save_and_release(appid, "me", state)

    assert before == AccessTokenState()
    assert await rotated_out.load(appid) == state
    assert await scenario.store.load(appid) == AccessTokenState()


@pytest.fixture
async def unreachable(unreachable_place: str, clock: Clock) -> AsyncIterator[AccessTokenStore]:
    """A store whose server does not exist."""
    async with open_world(unreachable_place, clock) as scenario:
        yield scenario.store


@each_unreachable(SHARED_PLACES)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store, app, _: store.load(app), id="load"),
        pytest.param(lambda store, app, now: store.acquire_lease(app, "me", now, LEASE), id="acquire"),
        pytest.param(lambda store, app, _: store.save_and_release(app, "me", AccessTokenState()), id="release"),
    ],
)
async def test_a_missing_server_raises_store_unavailable(
    unreachable: AccessTokenStore, clock: Clock, call: Callable[[AccessTokenStore, AppId, datetime], Awaitable[object]]
) -> None:
    """Each operation on a store whose server does not answer raises StoreUnavailable, with the hint to try later."""
    with pytest.raises(StoreUnavailable) as failed:
        await call(unreachable, AppId("wx0000000000000001"), clock.now)

    assert type(failed.value) is StoreUnavailable
    assert failed.value.retry is Retry.LATER
    assert "nothing" not in failed.value.detail
