"""The promises of DeviceGrantStore, on every adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from adapters.memory.device_grant_store import MemoryDeviceGrantStore
from adapters.redis.client import create_client
from adapters.redis.device_grant_store import RedisDeviceGrantStore
from adapters.sql.database import Database
from adapters.sql.device_grant_store import SqlDeviceGrantStore
from application.ports.device_grant_store import DeviceGrantStore
from domain.device import UNKNOWN_DEVICE, Device
from domain.device_grant import LIFETIME, RETENTION, DeviceCode, DeviceGrant, GrantState, MatchNumbers
from domain.errors import StoreUnavailable
from domain.identity import AppId
from support.clock import Clock
from support.places import DATABASES, IN_REDIS, SHARED_PLACES, TECHNOLOGIES, each_place, each_unreachable
from support.proxy import How, proxy

pytestmark = pytest.mark.anyio

APP = AppId("wx0000000000000001")
BROWSER = Device("Mozilla/5.0 (浏览器 👩) Chrome/140.0", "2001:db8:85a3:8d3:1319:8a2e:370:7348")
NUMBERS = MatchNumbers("42", ("17", "42", "83"))
LEASE = timedelta(seconds=7)
PICTURE = b"\xff\xd8\xff\x00" + bytes(range(256)) * 800
"""As large as a real one, with every byte."""

PLACES = ["memory", *IN_REDIS, "redis-sentinel", *DATABASES]

redis_and_cluster = each_place(IN_REDIS)
by_the_hosts_clock = each_place(["memory", *DATABASES])
shared = each_place([*IN_REDIS, *DATABASES])


def new_grant(clock: Clock, browser: Device = BROWSER, numbers: MatchNumbers | None = NUMBERS) -> DeviceGrant:
    """Return a grant that no other test uses."""
    return DeviceGrant.start(DeviceCode.generate(), "商店", APP, browser, numbers, clock.now)


def seen(grant: DeviceGrant, user_id: str = "ann") -> DeviceGrant:
    """Return the grant as seen by a user."""
    return replace(grant, state=GrantState.SEEN, user_id=user_id)


@asynccontextmanager
async def open_store(place: str) -> AsyncIterator[DeviceGrantStore]:
    """Open the store at a place."""
    if place == "memory":
        yield MemoryDeviceGrantStore()
    elif place.startswith("redis"):
        async with create_client(place) as redis:
            yield RedisDeviceGrantStore(redis)
    else:
        async with Database(place) as database:
            yield SqlDeviceGrantStore(database)


@pytest.fixture(scope="session", params=PLACES)
def session_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of device grants."""
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("contract"))


@pytest.fixture
async def store(session_place: str) -> AsyncIterator[DeviceGrantStore]:
    """The store under test."""
    async with open_store(session_place) as store:
        yield store


@pytest.mark.parametrize("browser", [BROWSER, UNKNOWN_DEVICE], ids=["a browser", "unknown"])
@pytest.mark.parametrize("numbers", [NUMBERS, None], ids=["numbers", "none"])
async def test_a_grant_is_found_unchanged(
    store: DeviceGrantStore, clock: Clock, browser: Device, numbers: MatchNumbers | None
) -> None:
    """The store returns a grant as it was added, to the microsecond, and nothing for another scene."""
    grant = new_grant(clock, browser, numbers)
    await store.add(grant)

    assert await store.find(grant.scene) == grant
    assert await store.find(new_grant(clock).scene) is None


async def test_scenes_differ_by_case(store: DeviceGrantStore, clock: Clock) -> None:
    """A scene in other letters is another scene."""
    grant = replace(new_grant(clock), scene="a" + DeviceCode.generate().scene[1:])
    await store.add(grant)

    assert await store.find("A" + grant.scene[1:]) is None


async def test_every_state_is_stored(store: DeviceGrantStore, clock: Clock) -> None:
    """A grant passes through its states, with what they bring."""
    grant = new_grant(clock)
    approved = replace(seen(grant), state=GrantState.APPROVED, session_id="0" * 32)
    await store.add(grant)

    for old, new in [(grant, seen(grant)), (seen(grant), approved), (approved, approved.withdraw())]:
        assert await store.replace(old, new)
        assert await store.find(grant.scene) == new


async def test_a_changed_grant_is_not_replaced(store: DeviceGrantStore, clock: Clock) -> None:
    """A change from another state than the stored one changes nothing, and neither does one of an unknown grant."""
    grant = new_grant(clock)
    await store.add(grant)
    await store.replace(grant, seen(grant))

    assert not await store.replace(grant, seen(grant, "bob"))
    assert await store.find(grant.scene) == seen(grant)
    unknown = new_grant(clock)
    assert not await store.replace(unknown, seen(unknown))
    assert await store.find(unknown.scene) is None


async def test_pending_grants_are_found_together(store: DeviceGrantStore, clock: Clock) -> None:
    """Of more scenes than one statement names, those are found whose grants are new or seen, with these states."""
    grants = [new_grant(clock) for _ in range(5)]
    states = [GrantState.NEW, GrantState.SEEN, GrantState.APPROVED, GrantState.DENIED, GrantState.REDEEMED]
    for grant, state in zip(grants, states, strict=True):
        await store.add(replace(grant, state=state))
    unknown = [new_grant(clock).scene for _ in range(600)]

    assert await store.find_pending({*unknown, *(grant.scene for grant in grants)}) == {
        grants[0].scene: GrantState.NEW,
        grants[1].scene: GrantState.SEEN,
    }
    assert await store.find_pending(set()) == {}


async def test_one_of_many_changes_at_once_happens(store: DeviceGrantStore, clock: Clock) -> None:
    """Of twenty concurrent changes from one state, one succeeds, and it is the one that is stored."""
    grant = new_grant(clock)
    await store.add(grant)
    users = [f"user {number}" for number in range(20)]
    outcomes = await asyncio.gather(*(store.replace(grant, seen(grant, user)) for user in users))

    assert outcomes.count(True) == 1
    assert await store.find(grant.scene) == seen(grant, users[outcomes.index(True)])


@shared
async def test_processes_share_grants(session_place: str, clock: Clock) -> None:
    """Another process finds a grant and its picture, and takes part in its changes and in its lease."""
    grant = new_grant(clock)
    async with open_store(session_place) as one, open_store(session_place) as other:
        await one.add(grant)
        changes = [await each.replace(grant, seen(grant)) for each in (other, one)]
        leases = [await each.acquire_drawing(grant.scene, clock.now, LEASE) for each in (one, other)]
        await one.save_picture(grant.scene, PICTURE)

        assert (changes, leases) == ([True, False], [True, False])
        assert await other.find_picture(grant.scene) == PICTURE


async def test_a_picture_is_stored_unchanged(store: DeviceGrantStore, clock: Clock) -> None:
    """A picture of 200 KB comes back byte for byte, and stays with the grant when its state changes."""
    grant = new_grant(clock)
    await store.add(grant)
    before = await store.find_picture(grant.scene)
    await store.save_picture(grant.scene, PICTURE)
    await store.replace(grant, seen(grant))

    assert before is None
    assert await store.find_picture(grant.scene) == PICTURE
    assert await store.find(grant.scene) == seen(grant)


async def test_a_picture_of_a_megabyte_is_stored(store: DeviceGrantStore, clock: Clock) -> None:
    """The largest picture that WeChat's adapter accepts is stored."""
    grant = new_grant(clock)
    await store.add(grant)
    await store.save_picture(grant.scene, b"\xff" * 1024 * 1024)

    assert await store.find_picture(grant.scene) == b"\xff" * 1024 * 1024


async def test_an_unknown_grant_has_no_picture(store: DeviceGrantStore, clock: Clock) -> None:
    """For a scene without a grant there is no lease, and no picture is stored."""
    scene = new_grant(clock).scene

    assert not await store.acquire_drawing(scene, clock.now, LEASE)
    await store.save_picture(scene, PICTURE)
    assert await store.find_picture(scene) is None
    assert await store.find(scene) is None


async def test_one_of_many_draws(store: DeviceGrantStore, clock: Clock) -> None:
    """Of twenty concurrent calls one gets the lease, and none does once the picture is stored."""
    grant = new_grant(clock)
    await store.add(grant)
    leases = await asyncio.gather(*(store.acquire_drawing(grant.scene, clock.now, LEASE) for _ in range(20)))
    await store.save_picture(grant.scene, PICTURE)

    assert leases.count(True) == 1
    assert not await store.acquire_drawing(grant.scene, clock.now + 2 * LEASE, LEASE)


@by_the_hosts_clock
async def test_a_lease_to_draw_expires(store: DeviceGrantStore, clock: Clock) -> None:
    """After its length the lease can be taken again, and not before."""
    grant = new_grant(clock)
    await store.add(grant)
    await store.acquire_drawing(grant.scene, clock.now, LEASE)

    assert not await store.acquire_drawing(grant.scene, clock.now + LEASE - timedelta(seconds=1), LEASE)
    assert await store.acquire_drawing(grant.scene, clock.now + LEASE, LEASE)


@redis_and_cluster
async def test_a_lease_to_draw_expires_by_the_clock_of_redis(store: DeviceGrantStore, clock: Clock) -> None:
    """In Redis the lease ends by the clock of Redis, so that hosts need not agree."""
    grant = new_grant(clock)
    await store.add(grant)
    await store.acquire_drawing(grant.scene, clock.now, timedelta(milliseconds=50))

    while not await store.acquire_drawing(grant.scene, clock.now, LEASE):
        pass
    assert not await store.acquire_drawing(grant.scene, clock.now, LEASE)


@by_the_hosts_clock
async def test_a_purge_deletes_what_is_past_its_retention(store: DeviceGrantStore, clock: Clock) -> None:
    """A purge deletes grants with their pictures at the end of their retention, and no other one."""
    clock.advance(hours=1)
    await store.purge(clock.now)  # of other tests
    old, new = new_grant(clock), new_grant(clock)
    await store.add(old)
    await store.save_picture(old.scene, PICTURE)
    await store.add(replace(new, expires_at=new.expires_at + timedelta(seconds=1)))
    before = await store.purge(old.retain_until - timedelta(seconds=1))

    assert (before, await store.purge(old.retain_until)) == (0, 1)
    assert (await store.find(old.scene), await store.find_picture(old.scene)) == (None, None)
    assert await store.find(new.scene)


@redis_and_cluster
async def test_redis_deletes_all_of_a_grant_at_once(store: DeviceGrantStore, session_place: str, clock: Clock) -> None:
    """A grant is one key, which expires with the retention, also after changes and with a picture."""
    grant = new_grant(clock)
    await store.add(grant)
    await store.acquire_drawing(grant.scene, clock.now, LEASE)
    await store.save_picture(grant.scene, PICTURE)
    await store.replace(grant, seen(grant))
    async with create_client(session_place) as redis:
        (key,) = [key async for key in redis.scan_iter(f"*{grant.scene}*")]
        left = timedelta(milliseconds=await redis.pttl(key))

    assert timedelta(seconds=150) < left <= LIFETIME + RETENTION + timedelta(seconds=1)
    assert await store.purge(grant.retain_until) == 0


@shared
async def test_a_device_code_is_stored_hashed(session_place: str, clock: Clock) -> None:
    """The stored bytes have the hash of the device code, and not the code."""
    code = DeviceCode.generate()
    grant = DeviceGrant.start(code, "shop", APP, BROWSER, NUMBERS, clock.now)
    async with open_store(session_place) as store:
        await store.add(grant)
    if session_place.startswith("redis"):
        async with create_client(session_place) as redis:
            kept = repr(await redis.hgetall(f"wxlogin:g:{grant.scene}"))
    else:
        async with Database(session_place) as database:
            row = text("SELECT * FROM device_grants WHERE scene = :scene").bindparams(scene=grant.scene)
            kept = repr(await database.read(lambda connection: connection.execute(row).one()))

    assert code.secret_hash in kept
    assert code.secret not in kept


@redis_and_cluster
async def test_a_record_of_a_newer_release_is_unavailable(
    store: DeviceGrantStore, session_place: str, clock: Clock
) -> None:
    """A record that this release cannot read raises StoreUnavailable."""
    scene = new_grant(clock).scene
    async with create_client(session_place) as redis:
        await redis.execute_command("HSET", f"wxlogin:g:{scene}", "record", b"\x91\x63")
        await redis.expire(f"wxlogin:g:{scene}", 60)

    with pytest.raises(StoreUnavailable):
        await store.find(scene)


@pytest.fixture
async def unreachable(unreachable_place: str) -> AsyncIterator[DeviceGrantStore]:
    """A store whose server does not exist."""
    async with open_store(unreachable_place) as store:
        yield store


CALLS: dict[str, Callable[[DeviceGrantStore, DeviceGrant], Awaitable[object]]] = {
    "add": lambda store, grant: store.add(grant),
    "find": lambda store, grant: store.find(grant.scene),
    "find_pending": lambda store, grant: store.find_pending({grant.scene}),
    "replace": lambda store, grant: store.replace(grant, seen(grant)),
    "find_picture": lambda store, grant: store.find_picture(grant.scene),
    "acquire_drawing": lambda store, grant: store.acquire_drawing(grant.scene, grant.created_at, LEASE),
    "save_picture": lambda store, grant: store.save_picture(grant.scene, PICTURE),
}


@each_unreachable(SHARED_PLACES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_missing_server_raises_store_unavailable(
    unreachable: DeviceGrantStore, clock: Clock, call: Callable[[DeviceGrantStore, DeviceGrant], Awaitable[object]]
) -> None:
    """Each operation on a store whose server does not answer raises StoreUnavailable."""
    with pytest.raises(StoreUnavailable):
        await call(unreachable, new_grant(clock))


async def test_a_lost_answer_of_redis_is_not_sent_again(redis_url: str, clock: Clock) -> None:
    """When the answer to a change is lost, the caller gets an error, and the change happened once."""
    grant, server = new_grant(clock), urlsplit(redis_url)
    async with create_client(redis_url) as redis:
        await RedisDeviceGrantStore(redis).add(grant)
        with proxy((str(server.hostname), server.port or 6379)) as between:
            async with create_client(f"redis://127.0.0.1:{between.port}{server.path}") as cut_off:
                await cut_off.echo("connected")
                between.become(How.CUT_ONCE)
                with pytest.raises(StoreUnavailable):
                    await RedisDeviceGrantStore(cut_off).replace(grant, seen(grant))

        assert await RedisDeviceGrantStore(redis).find(grant.scene) == seen(grant)
