"""Reads of Redis that concurrent requests share: each gets its own value, as fresh as from its own command."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.exceptions import RedisError

from adapters.redis.client import create_client
from adapters.redis.connections import ANSWER_SECONDS, RedisClient
from adapters.redis.reader import create_reader
from support.proxy import How, Proxy, proxy
from support.servers import redis_server, unique_name

pytestmark = pytest.mark.anyio


@pytest.fixture
def between(redis_url: str) -> Iterator[Proxy]:
    """A proxy before Redis."""
    parts = urlsplit(redis_url)
    with proxy((str(parts.hostname), parts.port or 6379)) as started:
        yield started


@pytest.fixture
async def redis(between: Proxy) -> AsyncIterator[RedisClient]:
    """A client of Redis through the proxy."""
    async with create_client(f"redis://127.0.0.1:{between.port}/0") as client:
        yield client


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[RedisClient]:
    """A client of another process, without the proxy."""
    async with create_client(redis_url) as client:
        yield client


async def written(redis: RedisClient, count: int) -> list[str]:
    """Store so many values, each equal to its own name, and return the names."""
    names = [unique_name() for _ in range(count)]
    await asyncio.gather(*(redis.set(name, name, px=60_000) for name in names))
    return names


async def commands(redis: RedisClient, name: str) -> int:
    """Return how often Redis has run a command."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def test_each_reader_gets_its_own_value(redis: RedisClient, other: RedisClient) -> None:
    """Hundreds of concurrent readers each get their own value, also for a shared or a missing key."""
    reader, names = create_reader(redis), await written(other, 250)
    asked = [*names, names[0], unique_name(), names[-1]]

    assert await reader.get_many(asked) == [name.encode() if name in names else None for name in asked]


async def test_reads_in_one_turn_share_a_command() -> None:
    """Two hundred reads in one turn of the event loop become two MGET commands, and no GET.

    It is the same for two hundred calls, which are the checks of as many requests, and for one call with as many keys.
    """
    with redis_server() as server:
        async with create_client(f"redis://127.0.0.1:{server.port}/0") as alone:
            reader, names = create_reader(alone), [unique_name() for _ in range(200)]
            await asyncio.gather(*map(reader.get, names))
            shared = await commands(alone, "mget")
            await reader.get_many(names)

            assert (shared, await commands(alone, "mget"), await commands(alone, "get")) == (2, 4, 0)


async def test_no_reader_gets_an_overwritten_value(redis: RedisClient, other: RedisClient) -> None:
    """With many concurrent reads and writes, no reader gets a value that was overwritten before its read."""
    reader, names = create_reader(redis), [unique_name() for _ in range(20)]
    acknowledged = dict.fromkeys(names, 0)
    for name in names:
        await other.set(name, 0)

    async def write() -> None:
        for value in range(1, 50):
            for name in names:
                await other.set(name, value)
                acknowledged[name] = value

    writing = asyncio.create_task(write())
    stale = 0
    while not writing.done():
        known = dict(acknowledged)
        found = await reader.get_many(names)
        stale += sum(int(value or -1) < known[name] for name, value in zip(names, found, strict=True))

    assert stale == 0
    assert set(acknowledged.values()) == {49}


async def test_a_reset_connection_is_replaced_without_an_error(
    between: Proxy, redis: RedisClient, other: RedisClient
) -> None:
    """When a connection is reset during reads, every reader gets its own value."""
    reader, names = create_reader(redis), await written(other, 50)
    for _ in range(5):
        asked = asyncio.gather(*map(reader.get, names))
        await asyncio.sleep(0)
        between.become(How.RESETTING)
        between.become(How.PASSING)

        assert await asked == [name.encode() for name in names]


async def test_a_late_answer_is_discarded(between: Proxy, redis: RedisClient, other: RedisClient) -> None:
    """A late answer of Redis to a timed-out read is not returned for another read."""
    reader, names = create_reader(redis), await written(other, 50)
    await reader.get_many(names)
    between.become(How.SILENT)
    given_up = await asyncio.gather(*map(reader.get, names), return_exceptions=True)
    between.become(How.PASSING)

    assert {isinstance(answer, (RedisError, TimeoutError)) for answer in given_up} == {True}
    assert await reader.get_many(names[::-1]) == [name.encode() for name in names[::-1]]


async def test_many_readers_wait_no_longer_than_one(between: Proxy, redis: RedisClient) -> None:
    """While Redis does not answer, a thousand concurrent reads fail after two round trips, not in turn."""
    reader = create_reader(redis)
    await reader.get(unique_name())
    between.become(How.SILENT)
    first = asyncio.create_task(reader.get(unique_name()))
    await asyncio.sleep(0)
    async with asyncio.timeout(2 * ANSWER_SECONDS + 5):  # the first round trip, the second, and a busy machine
        answers = await asyncio.gather(first, *(reader.get(unique_name()) for _ in range(1000)), return_exceptions=True)
    between.become(How.PASSING)

    assert {isinstance(answer, (RedisError, TimeoutError)) for answer in answers} == {True}


async def test_a_cancelled_read_does_not_disturb_its_batch(redis: RedisClient, other: RedisClient) -> None:
    """When some readers of a shared command are cancelled at any moment, the others get their values."""
    reader, names = create_reader(redis), await written(other, 20)
    for turns in range(20):
        asked = [asyncio.create_task(reader.get(name)) for name in names]
        for _ in range(turns):
            await asyncio.sleep(0)
        for each in asked[::2]:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

        assert [each.result() for each in asked[1::2]] == [name.encode() for name in names[1::2]]
