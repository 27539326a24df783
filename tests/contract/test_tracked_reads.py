"""What a process remembers of Redis is never older than the question."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.redis.client import create_client
from adapters.redis.wire import SharedConnection
from support.servers import redis_server, unique_name

pytestmark = pytest.mark.anyio


class Named(NamedTuple):
    """A value is a number."""

    name: str
    value: int


def decode(key: str, value: bytes) -> Named:
    """Of the key and its bytes."""
    return Named(key, int(value))


class Process:
    """What one process reads with."""

    def __init__(self, redis: Redis, remembered: int = 1000) -> None:
        self.wire = SharedConnection(redis, remembered)
        self.read = self.wire.reader(decode)

    async def __call__(self, names: set[str]) -> dict[str, int]:
        """Those of the names that have a value, read at once."""
        found = await asyncio.gather(*(self.read(name) for name in names))
        return dict(value for value in found if value is not None)

    @property
    def remembered(self) -> dict[str, Named]:
        """What it has in memory."""
        return self.wire._memory.values

    @property
    def waited_for(self) -> int:
        """How many keys are being read."""
        return len(self.wire._memory._readings)


class TogetherProcess(Process):
    """One that reads together what it can."""

    async def __call__(self, names: set[str]) -> dict[str, int]:
        """Those of the names that have a value."""
        found = dict(await self.read.together(list(names)))
        return found | await super().__call__(names - found.keys())


@pytest.fixture(params=[Process, TogetherProcess])
def open_process(request: pytest.FixtureRequest) -> type[Process]:
    """Both ways to read."""
    return request.param  # type: ignore[no-any-return]  # pytest's


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of one process."""
    async with create_client(redis_url) as client:
        yield client


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[Redis]:
    """A client of another process."""
    async with create_client(redis_url) as client:
        yield client


async def gets(redis: Redis) -> int:
    """How many keys Redis was asked for so far."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_get", {"calls": 0})["calls"])


async def test_what_was_read_is_asked_for_once(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """A value that nobody changes is fetched once; the reading that opens the connection does not count."""
    reads, name = open_process(redis), unique_name()
    await reads({"anything"})
    await other.set(name, 1)
    first = await reads({name})
    before = await gets(other)
    again = [await reads({name}) for _ in range(10)]

    assert [first, *again] == [{name: 1}] * 11
    assert await gets(other) == before


async def test_a_change_is_seen_by_the_next_read(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """Once a change is acknowledged, no read that begins later gives the value before it."""
    reads, name = open_process(redis), unique_name()
    for value in range(200):
        await other.set(name, value)

        assert await reads({name}) == {name: value}


async def test_a_key_that_is_gone_is_gone(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """What was deleted is not found, nor is what was never there, until somebody writes it."""
    reads, name = open_process(redis), unique_name()
    missing = await reads({name})
    await other.set(name, 1)
    written = await reads({name})
    await other.delete(name)

    assert (missing, written, await reads({name})) == ({}, {name: 1}, {})


async def test_no_reader_is_behind_a_busy_writer(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """Under many reads and writes at once, nobody reads what was overwritten before they asked."""
    reads, names = open_process(redis), [unique_name() for _ in range(20)]
    acknowledged = dict.fromkeys(names, 0)
    for name in names:
        await other.set(name, 0)

    async def write() -> None:
        for value in range(1, 100):
            for name in names:
                await other.set(name, value)
                acknowledged[name] = value

    async def read(writing: asyncio.Task[None]) -> int:
        stale = 0
        while not writing.done():
            known = dict(acknowledged)
            found = await reads(set(names))
            stale += sum(found[name] < known[name] for name in names)
        return stale

    writing = asyncio.create_task(write())

    assert await read(writing) == 0
    assert acknowledged == dict.fromkeys(names, 99)


async def test_thousands_of_changes_at_once(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """A process that asked nothing for a while hears of all that changed meanwhile, however much it is."""
    reads, prefix = open_process(redis, remembered=10_000), unique_name()
    names = {f"{prefix}:{number}" for number in range(5_000)}
    await other.mset(dict.fromkeys(names, 1))
    before = await reads(names)
    await other.mset(dict.fromkeys(names, 2))

    assert before == dict.fromkeys(names, 1)
    assert await reads(names) == dict.fromkeys(names, 2)


async def test_memory_has_a_bound(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """No more than a bound of values is remembered, and what is not remembered is asked for."""
    reads, prefix = open_process(redis, remembered=10), unique_name()
    names = {f"{prefix}:{number}" for number in range(100)}
    await other.mset(dict.fromkeys(names, 1))

    assert await reads(names) == await reads(names) == dict.fromkeys(names, 1)
    assert len(reads.remembered) == 10


async def test_a_lost_connection_takes_its_memory_along(
    redis: Redis, other: Redis, open_process: type[Process]
) -> None:
    """What changes while nobody can tell is asked for on the next connection."""
    reads, name = open_process(redis), unique_name()
    await other.set(name, 1)
    before = await reads({name})
    await other.client_kill_filter(_type="normal", skipme=True)
    await other.set(name, 2)

    assert before == {name: 1}
    assert await reads({name}) == {name: 2}


async def test_an_emptied_redis_is_empty(open_process: type[Process]) -> None:
    """FLUSHALL is a change of every key."""
    with redis_server() as server:
        async with create_client(f"redis://127.0.0.1:{server.port}/0") as redis:
            reads = open_process(redis)
            await redis.set("name", 1)
            before = await reads({"name"})
            await redis.flushall()

            assert (before, await reads({"name"})) == ({"name": 1}, {})


async def test_without_redis_nobody_gets_an_answer(open_process: type[Process]) -> None:
    """What is remembered answers nobody while Redis is away, and is asked for again when it is back."""
    with redis_server() as server:
        async with create_client(f"redis://127.0.0.1:{server.port}/0") as redis:
            reads = open_process(redis)
            await redis.set("name", 1)
            before = await reads({"name"})
            server.kill()
            with pytest.raises((RedisError, OSError)):
                await reads({"name"})
            server.start()

            assert (before, await reads({"name"})) == ({"name": 1}, {})


async def test_redis_notes_only_what_is_remembered() -> None:
    """The table of who reads what has no key that a command or a script read: it would have every user's."""
    with redis_server() as server:
        async with create_client(f"redis://127.0.0.1:{server.port}/0") as redis:
            reads = Process(redis)
            await reads.wire.ask(("SET", "a", 1), ("EVAL", "return redis.call('GET', KEYS[1])", 1, "b"), ("GET", "c"))
            before = (await redis.info("stats"))["tracking_total_keys"]
            await reads({"a"})

            assert (before, (await redis.info("stats"))["tracking_total_keys"]) == (0, 1)


async def test_a_redis_that_cannot_tell_is_asked_each_time(
    redis_url: str, other: Redis, open_process: type[Process]
) -> None:
    """RESP2 has no place for what Redis tells unasked: then nothing is remembered."""
    async with create_client(f"{redis_url}?protocol=2") as redis:
        reads, name = open_process(redis), unique_name()
        await other.set(name, 1)
        before = await reads({name})
        await other.set(name, 2)

        assert (before, await reads({name})) == ({name: 1}, {name: 2})
        assert not reads.remembered


async def test_a_user_who_may_not_track_is_asked_each_time(open_process: type[Process]) -> None:
    """A Redis whose rules forbid CLIENT TRACKING is read all the same."""
    with redis_server() as server:
        url = f"redis://plain:word@127.0.0.1:{server.port}/0"
        async with create_client(f"redis://127.0.0.1:{server.port}/0") as other, create_client(url) as redis:
            await other.execute_command("ACL SETUSER plain on >word ~* +@all -client")
            reads = open_process(redis)
            await other.set("name", 1)
            before = await reads({"name"})
            await other.set("name", 2)

            assert (before, await reads({"name"})) == ({"name": 1}, {"name": 2})


async def test_a_value_that_cannot_be_read_is_its_readers_alone(redis: Redis, other: Redis) -> None:
    """Of values that are read together the readable ones are given, and who reads the other one hears of it."""
    reads, good, bad = TogetherProcess(redis), unique_name(), unique_name()
    await other.mset({good: 1, bad: "no number"})

    assert await reads.read.together([bad, good]) == [Named(good, 1)]
    with pytest.raises(ValueError, match="no number"):
        await reads.read(bad)


async def test_who_gives_up_leaves_nothing_behind(redis: Redis, other: Redis, open_process: type[Process]) -> None:
    """A reader that is cancelled while it waits for Redis is not waited for."""
    reads, names = open_process(redis), {unique_name() for _ in range(3)}
    await other.mset(dict.fromkeys(names, 1))
    reading = asyncio.create_task(reads(names))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    before = reads.waited_for

    assert await reads(names) == dict.fromkeys(names, 1)
    assert (before, reads.waited_for) == (0, 0)
