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
from adapters.redis.connections import Client
from adapters.redis.rate_limiter import RedisRateLimiter
from application.ports.rate_limiter import RateLimiter
from domain.errors import StoreUnavailable
from domain.rate_limit import NONE, RateLimit
from support.clock import Clock
from support.proxy import How, proxy
from support.servers import free_port

pytestmark = pytest.mark.anyio

on_redis = pytest.mark.parametrize("place", ["redis", "redis-cluster"], indirect=True)

LIMIT = RateLimit("login", 3, timedelta(hours=1))


@pytest.fixture(params=["memory", "redis", "redis-cluster"])
def place(request: pytest.FixtureRequest) -> str:
    """Where it is counted: `memory`, or the URL of a Redis or of a Redis Cluster."""
    kind: str = request.param
    return kind if kind == "memory" else str(request.getfixturevalue(f"{kind.replace('-', '_')}_url"))


@asynccontextmanager
async def open_limiter(place: str) -> AsyncIterator[RateLimiter]:
    """The limiter at a place. Redis has a clock of its own, which no test can move: so nobody's is moved here."""
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
    """Somebody whom no other test knows."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::/64"


async def test_a_quota_is_admitted_and_no_more(limiter: RateLimiter, who: str) -> None:
    """Each one taken leaves one less, and where nothing is left nobody is admitted."""
    taken = [await limiter.take(LIMIT, who) for _ in range(5)]

    assert [allowance.admitted for allowance in taken] == [True, True, True, False, False]
    assert [allowance.remaining for allowance in taken] == [2, 1, 0, 0, 0]
    assert {allowance.limit for allowance in taken} == {LIMIT}


async def test_a_refusal_says_how_long_to_wait(limiter: RateLimiter, who: str) -> None:
    """Whoever is refused has to wait, at most as long as one takes to come back; nobody else has to."""
    *admitted, last, refused = [await limiter.take(LIMIT, who) for _ in range(4)]

    assert [allowance.wait for allowance in admitted] == [NONE, NONE]
    assert NONE < refused.wait <= last.wait <= LIMIT.interval


async def test_a_refusal_takes_nothing(limiter: RateLimiter, who: str) -> None:
    """Whoever keeps trying in vain has to wait no longer for it."""
    *_, last, first_refused = [await limiter.take(LIMIT, who) for _ in range(4)]
    refused = [await limiter.take(LIMIT, who) for _ in range(20)]

    assert not any(allowance.admitted for allowance in refused)
    assert refused[-1].debt <= first_refused.debt <= last.debt <= LIMIT.capacity


async def test_a_quota_is_restored_one_by_one(limiter: RateLimiter, who: str) -> None:
    """After a wait there is one again, and one only."""
    limit = RateLimit("login", 2, timedelta(seconds=1))
    while (await limiter.take(limit, who)).admitted:
        pass
    while not (back := await limiter.take(limit, who)).admitted:
        pass

    assert back.remaining == 0


async def test_each_has_a_quota_of_their_own(limiter: RateLimiter, who: str) -> None:
    """What one took, nobody else lacks."""
    for _ in range(3):
        await limiter.take(LIMIT, who)

    assert not (await limiter.take(LIMIT, who)).admitted
    assert (await limiter.take(LIMIT, f"{who}0")).remaining == 2


@pytest.mark.parametrize(
    "other",
    [replace(LIMIT, name="app-login"), replace(LIMIT, quota=4), replace(LIMIT, window=timedelta(minutes=1))],
    ids=str,
)
async def test_each_limit_counts_for_itself(limiter: RateLimiter, who: str, other: RateLimit) -> None:
    """Another limit starts with a whole quota: so does the same one when it is set anew."""
    for _ in range(4):
        await limiter.take(LIMIT, who)

    assert (await limiter.take(other, who)).remaining == other.quota - 1


async def test_a_rush_gets_the_quota_and_no_more(limiter: RateLimiter, who: str) -> None:
    """Of a hundred at the same moment exactly the quota is admitted."""
    limit = RateLimit("login", 20, timedelta(days=1))
    taken = await asyncio.gather(*(limiter.take(limit, who) for _ in range(100)))

    assert sum(allowance.admitted for allowance in taken) == 20
    assert sorted(allowance.remaining for allowance in taken if allowance.admitted) == [*range(20)]


@on_redis
async def test_all_who_share_a_redis_count_together(limiter: RateLimiter, place: str, who: str) -> None:
    """What one process admitted, another knows of."""
    async with open_limiter(place) as other:
        taken = [await one.take(LIMIT, who) for one in (limiter, other, limiter, other)]

    assert [allowance.remaining for allowance in taken] == [2, 1, 0, 0]
    assert not taken[-1].admitted


@on_redis
async def test_redis_forgets_whose_quota_is_whole(limiter: RateLimiter, place: str, who: str) -> None:
    """A key lives as long as somebody's debt: nothing is kept of those who took nothing lately."""
    debt = (await limiter.take(LIMIT, who)).debt
    async with create_client(place) as redis:
        (key,) = await _keys(redis, who)
        left = timedelta(milliseconds=await redis.pttl(key))

    assert NONE < left <= debt == LIMIT.interval


async def _keys(redis: Client, who: str) -> list[bytes]:
    return [key async for key in redis.scan_iter("wxlogin:limit:*") if who.encode() in key]


async def test_memory_forgets_whose_quota_is_whole(clock: Clock) -> None:
    """A process keeps no more than twice as many as lately took something, however many there were before."""
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


async def test_a_redis_that_is_away_is_unavailable(who: str) -> None:
    """Nobody is admitted by a store that does not answer."""
    async with create_client(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(StoreUnavailable):
            await RedisRateLimiter(redis).take(LIMIT, who)


async def test_a_lost_answer_takes_one_and_no_more(redis_url: str, who: str) -> None:
    """When Redis has taken one and its answer is lost, the caller gets an error, and the command is not sent again."""
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
