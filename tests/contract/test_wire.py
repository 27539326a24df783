"""What the shared connection to Redis promises when Redis, or the way to it, fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.redis.client import create_client
from adapters.redis.memory import Memory, TrackedReader
from adapters.redis.stream import Stream
from adapters.redis.wire import SharedConnection
from support.proxy import How, Proxy, proxy
from support.servers import unique_name

pytestmark = pytest.mark.anyio


@pytest.fixture
def between(redis_url: str) -> Iterator[Proxy]:
    """What stands between us and Redis."""
    parts = urlsplit(redis_url)
    with proxy((str(parts.hostname), parts.port or 6379)) as started:
        yield started


@pytest.fixture
async def redis(between: Proxy) -> AsyncIterator[Redis]:
    """A client of the Redis behind it."""
    async with create_client(f"redis://127.0.0.1:{between.port}/0") as client:
        yield client


@pytest.fixture
async def complaints() -> list[Any]:
    """What the event loop complains of: nobody may be left to hear of an error."""
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
    return heard


async def test_a_connection_that_was_reset_is_replaced_unnoticed(between: Proxy, redis: Redis) -> None:
    """Hundreds who ask while a connection is reset are all answered, each with their own answer."""
    wire, names = SharedConnection(redis), [unique_name() for _ in range(50)]
    await asyncio.gather(*(wire.ask(("SET", name, name, "PX", 60_000)) for name in names))
    for _ in range(5):
        asked = asyncio.gather(*(wire.ask(("GET", name)) for name in names))
        await asyncio.sleep(0)
        between.become(How.RESETTING)
        between.become(How.PASSING)

        assert await asked == [[name.encode()] for name in names]


async def test_a_late_answer_is_nobodys(between: Proxy, redis: Redis) -> None:
    """What Redis answers after it was given up, on a new connection or an old one, is taken for no other answer."""
    wire, names = SharedConnection(redis), [unique_name() for _ in range(50)]
    await asyncio.gather(*(wire.ask(("SET", name, name, "PX", 60_000)) for name in names))
    between.become(How.SILENT)
    first = [asyncio.create_task(wire.ask(("GET", name))) for name in names]
    await asyncio.sleep(0)
    second = [asyncio.create_task(wire.ask(("GET", name))) for name in names]
    given_up = await asyncio.gather(*first, *second, return_exceptions=True)
    between.become(How.PASSING)

    assert {isinstance(answer, (RedisError, TimeoutError)) for answer in given_up} == {True}
    assert await asyncio.gather(*(wire.ask(("GET", name)) for name in names)) == [[name.encode()] for name in names]


async def test_who_gives_up_leaves_no_error_behind(redis: Redis, complaints: list[Any]) -> None:
    """An exchange that is cancelled, as one is that takes too long, may end as it likes."""
    connection = await redis.connection_pool.get_connection()
    opener = connection._reader
    stream = Stream(connection._writer.transport, lambda _keys: None)
    stream.send([("PING",)]).cancel()
    connection._writer.transport.abort()
    async with asyncio.timeout(5):
        assert await opener.read() == b""  # redis-py hears of it, too

    await redis.connection_pool.release(connection)

    assert not complaints
    assert not stream.is_open


async def test_an_answer_from_before_a_change_is_not_remembered_after_it() -> None:
    """Who asks once more after a change is not given what another, who asked before it, is just told."""
    asked: list[asyncio.Future[list[Any]]] = []

    def ask(*_commands: object) -> asyncio.Future[list[Any]]:
        asked.append(asyncio.get_running_loop().create_future())
        return asked[-1]

    memory = Memory[bytes]()
    memory.start(tracked=True)
    read = TrackedReader(ask, memory, lambda _key, value: value)
    before = asyncio.create_task(read("session"))
    await asyncio.sleep(0)
    memory.forget([b"session"])
    after = asyncio.create_task(read("session"))
    await asyncio.sleep(0)
    asked[0].set_result([b"live"])
    asked[1].set_result([None])

    assert (await before, await after) == (b"live", None)
    assert not memory.values
