"""The promises of RateLimiter, on every adapter."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from adapters.memory.rate_limiter import SWEPT, MemoryRateLimiter
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.redis.rate_limiter import RedisRateLimiter
from application.ports.rate_limiter import RateLimiter
from domain.errors import StoreUnavailable
from domain.rate_limit import NONE, RateLimit
from support.clock import Clock
from support.proxy import How, proxy
from support.servers import free_port

pytestmark = pytest.mark.anyio

single_redis = pytest.mark.parametrize("place", ["redis", "redis-cluster"], indirect=True)

LIMIT = RateLimit("login", 3, timedelta(hours=1))


@pytest.fixture(params=["memory", "redis", "redis-cluster"])
def place(request: pytest.FixtureRequest) -> str:
    """The place of the counters: `memory`, or the URL of a Redis or of a Redis Cluster."""
    kind: str = request.param
    return kind if kind == "memory" else str(request.getfixturevalue(f"{kind.replace('-', '_')}_url"))


@asynccontextmanager
async def open_limiter(place: str) -> AsyncIterator[RateLimiter]:
    """Open the limiter at a place, on the real clock: a test cannot move the clock of Redis."""
    if place == "memory":
        yield MemoryRateLimiter(lambda: datetime.now(UTC))
    else:
        async with create_client(place) as redis:
            yield RedisRateLimiter(redis)


@pytest.fixture
async def limiter(place: str) -> AsyncIterator[RateLimiter]:
    """The limiter under test."""
    async with open_limiter(place) as limiter:
        yield limiter


@pytest.fixture
def who() -> str:
    """A client that no other test uses."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::/64"


async def test_exactly_the_quota_is_admitted(limiter: RateLimiter, who: str) -> None:
    """Each admitted call reduces the remaining quota by one. At zero, calls are refused."""
    taken = [await limiter.take(LIMIT, who) for _ in range(5)]

    assert [allowance.admitted for allowance in taken] == [True, True, True, False, False]
    assert [allowance.remaining for allowance in taken] == [2, 1, 0, 0, 0]
    assert {allowance.limit for allowance in taken} == {LIMIT}


async def test_a_refusal_has_a_wait(limiter: RateLimiter, who: str) -> None:
    """Refused clients, and those at the end of their quota, have to wait at most one interval.

    Clients with quota left do not wait.
    """
    *admitted, last, refused = [await limiter.take(LIMIT, who) for _ in range(4)]

    assert [allowance.wait for allowance in admitted] == [NONE, NONE]
    assert NONE < refused.wait <= last.wait <= LIMIT.interval


async def test_a_refusal_does_not_use_quota(limiter: RateLimiter, who: str) -> None:
    """Refused calls do not increase the wait."""
    *_, last, first_refused = [await limiter.take(LIMIT, who) for _ in range(4)]
    refused = [await limiter.take(LIMIT, who) for _ in range(20)]

    assert not any(allowance.admitted for allowance in refused)
    assert refused[-1].debt <= first_refused.debt <= last.debt <= LIMIT.capacity


async def test_a_quota_is_restored_one_by_one(limiter: RateLimiter, who: str) -> None:
    """After one interval the client can make one call, and only one."""
    limit = RateLimit("login", 2, timedelta(seconds=1))
    while (await limiter.take(limit, who)).admitted:
        pass
    while not (back := await limiter.take(limit, who)).admitted:
        pass

    assert back.remaining == 0


async def test_each_client_has_its_own_quota(limiter: RateLimiter, who: str) -> None:
    """A client's calls do not reduce the quota of another client."""
    for _ in range(3):
        await limiter.take(LIMIT, who)

    assert not (await limiter.take(LIMIT, who)).admitted
    assert (await limiter.take(LIMIT, f"{who}0")).remaining == 2


@pytest.mark.parametrize(
    "other",
    [replace(LIMIT, name="app-login"), replace(LIMIT, quota=4), replace(LIMIT, window=timedelta(minutes=1))],
    ids=str,
)
async def test_each_limit_has_its_own_counter(limiter: RateLimiter, who: str, other: RateLimit) -> None:
    """Each limit has its own quota. A limit with changed settings starts with a full quota."""
    for _ in range(4):
        await limiter.take(LIMIT, who)

    assert (await limiter.take(other, who)).remaining == other.quota - 1


async def test_concurrent_calls_get_exactly_the_quota(limiter: RateLimiter, who: str) -> None:
    """Of a hundred concurrent calls, exactly the quota is admitted."""
    limit = RateLimit("login", 20, timedelta(days=1))
    taken = await asyncio.gather(*(limiter.take(limit, who) for _ in range(100)))

    assert sum(allowance.admitted for allowance in taken) == 20
    assert sorted(allowance.remaining for allowance in taken if allowance.admitted) == [*range(20)]


@single_redis
async def test_processes_on_one_redis_share_a_counter(limiter: RateLimiter, place: str, who: str) -> None:
    """Processes on the same Redis share one counter."""
    async with open_limiter(place) as other:
        taken = [await one.take(LIMIT, who) for one in (limiter, other, limiter, other)]

    assert [allowance.remaining for allowance in taken] == [2, 1, 0, 0]
    assert not taken[-1].admitted


@single_redis
async def test_redis_deletes_a_counter_when_its_quota_is_full(limiter: RateLimiter, place: str, who: str) -> None:
    """A Redis key expires when the client's quota is full again."""
    debt = (await limiter.take(LIMIT, who)).debt
    async with create_client(place) as redis:
        (key,) = await _keys(redis, who)
        left = timedelta(milliseconds=await redis.pttl(key))

    assert NONE < left <= debt == LIMIT.interval


async def _keys(redis: RedisClient, who: str) -> list[bytes]:
    return [key async for key in redis.scan_iter("wxlogin:limit:*") if who.encode() in key]


async def test_memory_deletes_counters_when_their_quota_is_full(clock: Clock) -> None:
    """The memory limiter retains at most twice as many clients as recently made a call."""
    limiter = MemoryRateLimiter(clock)
    for number in range(3 * SWEPT):
        await limiter.take(LIMIT, f"early {number}")
    clock.now += LIMIT.interval
    late = [f"late {number}" for number in range(3 * SWEPT)]
    for who in late:
        await limiter.take(LIMIT, who)
    taken = [await limiter.take(LIMIT, who) for who in late]

    assert len(limiter._whole_at) == len(late)
    assert {allowance.remaining for allowance in taken} == {1}


async def test_a_missing_redis_raises_store_unavailable(who: str) -> None:
    """When Redis does not answer, a call raises StoreUnavailable and is not admitted."""
    async with create_client(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(StoreUnavailable):
            await RedisRateLimiter(redis).take(LIMIT, who)


async def test_a_lost_answer_uses_one_call_of_the_quota(redis_url: str, who: str) -> None:
    """When the answer of Redis is lost, the caller gets an error, and the command is not sent again."""
    server = urlsplit(redis_url)
    async with create_client(redis_url) as redis:
        limiter = RedisRateLimiter(redis)
        with proxy((str(server.hostname), server.port or 6379)) as between:
            async with create_client(f"redis://127.0.0.1:{between.port}{server.path}") as cut_off:
                await cut_off.echo("connected")
                between.become(How.CUT_ONCE)
                with pytest.raises(StoreUnavailable):
                    await RedisRateLimiter(cut_off).take(LIMIT, who)

        assert (await limiter.take(LIMIT, who)).remaining == LIMIT.quota - 2
