"""The promises of PushStore, on every adapter."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from adapters.memory.push_store import MemoryPushStore
from adapters.redis import push_store as module
from adapters.redis.client import create_client
from adapters.redis.push_store import POSTPONED, RedisPushStore
from application.ports.push_store import PushStore
from domain.errors import StoreUnavailable
from domain.identity import AppId
from domain.push import Push, PushType
from support.clock import Clock
from support.places import REDIS_TECHNOLOGIES

pytestmark = pytest.mark.anyio

LONG = timedelta(minutes=20)


@pytest.fixture(params=["memory", *REDIS_TECHNOLOGIES])
async def pushes(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[PushStore]:
    """The store under test."""
    if request.param == "memory":
        yield MemoryPushStore(clock)
        return
    async with create_client(request.getfixturevalue(f"{request.param.replace('-', '_')}_url")) as redis:
        yield RedisPushStore(redis)


def push(clock: Clock, openid: str = "oAnn") -> Push:
    """Return a push that no other test uses."""
    app = AppId("wx0123456789abcdef")
    return Push(str(uuid.uuid4()), app, "user_info_modified", clock.now, PushType.PROFILE_MODIFIED, openid, (8, 6))


async def test_a_handled_push_is_remembered(pushes: PushStore, clock: Clock) -> None:
    """A push that was handled is remembered, and no other."""
    one, other = push(clock), push(clock)
    before = await pushes.was_handled(one.id)
    await pushes.mark_handled(one.id, LONG)
    await pushes.mark_handled(one.id, LONG)

    assert not before
    assert await pushes.was_handled(one.id)
    assert not await pushes.was_handled(other.id)


async def test_a_postponed_push_is_kept_until_it_is_removed(pushes: PushStore, clock: Clock) -> None:
    """A postponed push is returned as it was, once, until it is removed."""
    one, other = push(clock), push(clock)
    for each in (one, other, one):
        await pushes.postpone(each)
    kept = [each for each in await pushes.postponed() if each in (one, other)]
    for _ in range(2):
        await pushes.remove(one)
    left = [each for each in await pushes.postponed() if each in (one, other)]
    await pushes.remove(other)

    assert sorted(kept, key=str) == sorted([one, other], key=str)
    assert left == [other]


@pytest.mark.parametrize("kind", REDIS_TECHNOLOGIES)
async def test_a_push_of_a_newer_release_waits(
    kind: str,
    request: pytest.FixtureRequest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Pushes that this release cannot read stay, keep no other from being returned, and are logged once."""
    monkeypatch.setattr(module, "BATCH", 10)
    newer = {f"newer {number}": '{"id":1}' for number in range(600)}  # more than Redis returns at once
    one = push(clock)
    async with create_client(request.getfixturevalue(f"{kind.replace('-', '_')}_url")) as redis:
        pushes = RedisPushStore(redis)
        await redis.hset(POSTPONED, mapping=newer)  # type: ignore[arg-type]  # a dictionary is invariant
        await pushes.postpone(one)
        kept = [await pushes.postponed() for _ in range(2)]
        await pushes.remove(one)
        left = await redis.hlen(POSTPONED)
        await redis.delete(POSTPONED)

    assert kept == [[one], [one]]
    assert left == len(newer)
    assert len(caplog.records) == 1


async def test_a_store_says_whether_it_outlives_the_process(pushes: PushStore, clock: Clock) -> None:
    """Only a store outside this process says that a push is safe."""
    one = push(clock)
    is_safe = await pushes.postpone(one)
    await pushes.remove(one)

    assert is_safe == isinstance(pushes, RedisPushStore)


async def test_the_memory_of_a_process_forgets(clock: Clock) -> None:
    """In memory, a push is forgotten after its time. Redis does so by its own clock."""
    pushes = MemoryPushStore(clock)
    one = push(clock)
    await pushes.mark_handled(one.id, LONG)
    clock.advance(minutes=21)

    assert not await pushes.was_handled(one.id)


async def test_the_memory_of_a_process_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, the oldest is dropped when there are too many."""
    monkeypatch.setattr("adapters.memory.push_store.MAX_PUSHES", 2)
    pushes = MemoryPushStore(clock)
    sent = [push(clock) for _ in range(3)]
    for each in sent:
        await pushes.mark_handled(each.id, LONG)
        await pushes.postpone(each)

    assert [await pushes.was_handled(each.id) for each in sent] == [False, True, True]
    assert await pushes.postponed() == sent[1:]


async def test_what_is_remembered_expires(redis_url: str, clock: Clock) -> None:
    """In Redis, a remembered push has an expiry."""
    one = push(clock)
    async with create_client(redis_url) as redis:
        await RedisPushStore(redis).mark_handled(one.id, LONG)
        left = await redis.ttl(f"wxlogin:push:{one.id}")

    assert 0 < left <= LONG.total_seconds()


@pytest.mark.parametrize("kind", REDIS_TECHNOLOGIES)
async def test_a_redis_that_is_away_is_unavailable(kind: str, clock: Clock, tmp_path: object) -> None:
    """Without Redis, every method raises StoreUnavailable."""
    unreachable = REDIS_TECHNOLOGIES[kind].unreachable_url
    assert unreachable
    one = push(clock)
    async with create_client(unreachable(tmp_path)) as redis:  # type: ignore[arg-type]  # not used by Redis
        pushes = RedisPushStore(redis)
        for call in (
            pushes.was_handled(one.id),
            pushes.mark_handled(one.id, LONG),
            pushes.postpone(one),
            pushes.postponed(),
            pushes.remove(one),
        ):
            with pytest.raises(StoreUnavailable):
                await call
