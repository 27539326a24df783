"""The promises of the Redis client, for each kind of Redis that its URL names."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from redis import Redis as Server
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient, run
from adapters.redis.sentinel import SentinelPool
from adapters.redis.urls import RedisUrl
from support.proxy import How, proxy
from support.servers import free_port, unique_name, wait_until
from support.topologies import Topology, is_in_cluster, quiet_garbage, redis_cluster

pytestmark = pytest.mark.anyio

COUNT_SLOWLY = """
local began, now = redis.call('TIME'), nil
local answer = redis.call('INCR', KEYS[1])
repeat now = redis.call('TIME') until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 400000
return answer
"""


@pytest.fixture(params=["redis", "redis_cluster", "redis_sentinel"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of Redis."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Hide warnings about objects that an earlier test left to the garbage collector."""
    with quiet_garbage():
        yield


@pytest.fixture
async def client(url: str) -> AsyncIterator[RedisClient]:
    """A client that has not been used."""
    async with create_client(url) as opened:
        yield opened


@pytest.fixture
def cluster() -> Iterator[Topology]:
    """A cluster whose slots the test may move."""
    with redis_cluster() as started:
        yield started


async def test_concurrent_first_commands_are_all_answered(client: RedisClient) -> None:
    """Hundreds of concurrent requests on a new client all get an answer."""
    names = [unique_name() for _ in range(300)]
    await asyncio.gather(*(client.set(name, name, px=60_000) for name in names))

    assert await asyncio.gather(*(client.get(name) for name in names)) == [name.encode() for name in names]


async def test_a_pipeline_returns_its_answers_in_order(client: RedisClient) -> None:
    """Each command of a pipeline gets its own answer, on any server that has its key."""
    pipeline = client.pipeline(transaction=False)
    names = [unique_name() for _ in range(30)]
    for name in names:
        pipeline.set(name, name, px=60_000)
        pipeline.get(name)

    assert (await pipeline.execute())[1::2] == [name.encode() for name in names]


async def test_a_refused_command_of_a_pipeline_raises(client: RedisClient) -> None:
    """A pipeline with a command that Redis refuses raises an error, as a single command does."""
    name = unique_name()
    await client.set(name, "text", px=60_000)

    with pytest.raises(RedisError):
        await run(client, [("GET", unique_name()), ("ZRANGE", name, 0, -1)])
    with pytest.raises(RedisError):
        await client.zrange(name, 0, -1)


UVLOOP, ASYNCIO = ("asyncio", {"use_uvloop": True}), ("asyncio", {"use_uvloop": False})


async def test_a_cancelled_command_leaves_no_answer_on_its_connection(client: RedisClient) -> None:
    """A cancelled request, at any stage, leaves no connection on which the next request reads its answer."""
    names = [unique_name() for _ in range(100)]
    await asyncio.gather(*(client.set(name, name, px=60_000) for name in names))
    for turns in range(30):
        asked = [asyncio.ensure_future(client.get(name)) for name in names[:10]]
        for _ in range(turns):
            await asyncio.sleep(0)
        for each in asked[::2]:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    assert await asyncio.gather(*(client.get(name) for name in names)) == [name.encode() for name in names]


@pytest.mark.parametrize("anyio_backend", [UVLOOP, ASYNCIO], ids=["uvloop", "asyncio"])
async def test_a_redis_that_resets_every_connection_raises_redis_error() -> None:
    """A connection that is reset at any moment raises RedisError, even between its opening and the first command."""
    with proxy(("127.0.0.1", 1)) as resetting:
        resetting.become(How.RESETTING)
        async with create_client(f"redis://127.0.0.1:{resetting.port}") as client:
            asked = [await asyncio.gather(*map(client.get, "x" * 200), return_exceptions=True) for _ in range(5)]

    assert {isinstance(answer, RedisError) for answers in asked for answer in answers} == {True}


@asynccontextmanager
async def client_with_reset_connections(redis_url: str) -> AsyncIterator[RedisClient]:
    """Provide a client whose ten idle connections were reset."""
    server = urlsplit(redis_url)
    with proxy((str(server.hostname), server.port or 6379)) as between:
        async with create_client(f"redis://127.0.0.1:{between.port}{server.path}") as client:
            await asyncio.gather(*(client.echo("open") for _ in range(10)))
            between.become(How.RESETTING)
            await asyncio.sleep(0.1)
            between.become(How.PASSING)
            yield client


@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
@pytest.mark.parametrize("pipelined", [False, True])
async def test_idle_connections_that_were_reset_fail_no_command(redis_url: str, pipelined: bool) -> None:
    """Commands after a reset are sent on new connections, and each is executed once."""
    name = unique_name()
    async with client_with_reset_connections(redis_url) as client:
        counting = (run(client, [("INCR", name)]) if pipelined else client.incr(name) for _ in range(20))
        await asyncio.gather(*counting)

        assert await client.get(name) == b"20"


@pytest.mark.parametrize("anyio_backend", [ASYNCIO], ids=["asyncio"])
async def test_on_the_asyncio_loop_a_reset_idle_connection_raises_only_redis_error(redis_url: str) -> None:
    """A command on a connection that was reset succeeds or raises RedisError; the next one succeeds."""
    async with client_with_reset_connections(redis_url) as client:
        first = await asyncio.gather(*(client.echo("again") for _ in range(10)), return_exceptions=True)
        second = await asyncio.gather(*(client.echo("again") for _ in range(10)))

    assert [each for each in first if each != b"again" and not isinstance(each, RedisError)] == []
    assert second == [b"again"] * 10


@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
async def test_idle_connections_to_a_master_that_were_reset_fail_no_command(cluster: Topology) -> None:
    """Commands to a cluster after a reset are sent on new connections, and each is executed once."""
    master, name = cluster.shards[0][0], _of_first_shard()
    master.kill()
    with proxy(("127.0.0.1", master.port)) as between:
        master.command += ["--cluster-announce-port", str(between.port)]
        master.start()
        wait_until(lambda: is_in_cluster(master), "the cluster")
        async with create_client(f"redis+cluster://127.0.0.1:{between.port}") as client:
            await asyncio.gather(*(client.exists(name) for _ in range(10)))
            between.become(How.RESETTING)
            await asyncio.sleep(0.1)
            between.become(How.PASSING)
            await asyncio.gather(*(client.incr(name) for _ in range(20)))

            assert await client.get(name) == b"20"


async def test_a_scan_sees_every_key_once(client: RedisClient) -> None:
    """A scan finds the keys of all masters."""
    prefix = unique_name()
    names = {f"{prefix}:{number}".encode() for number in range(100)}
    for name in names:
        await client.set(name, "", px=60_000)

    assert sorted([key async for key in client.scan_iter(f"{prefix}:*")]) == sorted(names)


async def test_the_servers_of_all_tests_have_no_command_keys(redis_cluster_url: str) -> None:
    """The servers of all tests have no KEYS command, because KEYS blocks a Redis while it searches."""
    async with create_client(redis_cluster_url) as client:
        with pytest.raises(ResponseError, match="unknown command"):
            await client.keys("*")


def execute(server: Server, *command: object) -> Any:
    """Run a command on one server."""
    return server.execute_command(*command)  # type: ignore[no-untyped-call]


def _of_first_shard() -> str:
    """Return a key of the first master."""
    return next(f"{{{number}}}" for number in count() if key_slot(f"{{{number}}}".encode()) < 5000)


async def test_commands_succeed_while_a_slot_moves(cluster: Topology) -> None:
    """During and after the move of a slot to another master, no command fails."""
    source, target = (Server(port=cluster.shards[shard][0].port) for shard in (0, 1))
    ids = [execute(server, "CLUSTER MYID").decode() for server in (source, target)]
    name = _of_first_shard()
    slot = key_slot(name.encode())
    async with create_client(cluster.url) as client:
        await client.set(f"{name}:stays", 1)
        await client.set(f"{name}:goes", 1)
        execute(target, "CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        execute(source, "CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        execute(source, "MIGRATE", "127.0.0.1", cluster.shards[1][0].port, f"{name}:goes", 0, 1000)
        await client.set(f"{name}:new", 1)
        during = [await client.incr(f"{name}:{each}") for each in ("stays", "goes", "new")]
        execute(source, "MIGRATE", "127.0.0.1", cluster.shards[1][0].port, f"{name}:stays", 0, 1000)
        for server in (target, source):
            execute(server, "CLUSTER SETSLOT", slot, "NODE", ids[1])
        after = await run(client, [("INCR", f"{name}:stays"), ("INCR", f"{name}:new")])

    source.close()
    target.close()
    assert (during, after) == ([2, 2, 2], [3, 3])


@pytest.mark.parametrize("pipelined", [False, True])
async def test_a_command_with_a_lost_answer_is_not_sent_again(url: str, pipelined: bool) -> None:
    """A command whose answer is lost raises an error and is not sent again, because it could undo a newer change."""
    name = unique_name()
    async with create_client(f"{url}?socket_timeout=0.2") as client:
        counting = run(client, [("EVAL", COUNT_SLOWLY, 1, name)]) if pipelined else client.eval(COUNT_SLOWLY, 1, name)
        with pytest.raises(RedisTimeoutError):
            await counting
    async with create_client(url) as patient:
        counted = await patient.get(name)

    assert counted == b"1"


async def test_the_client_retains_every_sentinel(redis_sentinel_url: str) -> None:
    """After many concurrent connections, the client still knows every sentinel, also the first, which is down.

    One lookup is shared by all connections that are being made. Each lookup of redis-py puts the sentinel that answers
    in the place of the first: several at once lose one.
    """
    hosts = redis_sentinel_url.removeprefix("redis+sentinel://")
    async with create_client(f"redis+sentinel://127.0.0.1:{free_port()},{hosts}") as client:
        await asyncio.gather(*(client.echo("") for _ in range(50)))
        assert isinstance(client, Redis)
        pool = client.connection_pool

        assert isinstance(pool, SentinelPool)
        assert len(set(map(id, pool.sentinel_manager.sentinels))) == 4


@pytest.mark.parametrize("url", ["redis", "redis_sentinel"], indirect=True)
async def test_idle_connections_that_redis_closed_fail_no_command(url: str) -> None:
    """Commands after Redis has closed idle connections are sent on new ones, and each is executed once.

    With redis-py's default, maintenance notifications, a pool does not look whether a connection was closed.
    """
    name = unique_name()
    async with create_client(f"{url}?client_name={name}") as client, create_client(url) as other:
        await asyncio.gather(*(client.echo("open") for _ in range(10)))
        idle = [each["id"] for each in await other.client_list() if each["name"] == name]
        for each in idle:
            await other.client_kill_filter(_id=each)
        await asyncio.gather(*(client.incr(name) for _ in range(20)))

        assert len(idle) > 1
        assert await client.get(name) == b"20"


PROBES = {
    name: value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""The seconds until the first probe, those between two, and their number, by the options of the system."""


def probes_to(ports: set[int]) -> list[dict[str, int]]:
    """Return the probes of each connection of this process to one of the ports; none without keepalive."""
    found = []
    for each in psutil.Process().net_connections("tcp"):
        if each.raddr and each.raddr.port in ports:
            with socket.socket(fileno=os.dup(each.fd)) as connection:
                names = PROBES if connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) else ()
                found.append({name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names})
    return found


async def test_the_system_probes_idle_connections(client: RedisClient, url: str) -> None:
    """The operating system closes a connection that was lost silently after 11 seconds. redis-py's default is 45."""
    info: Any = await client.info("server")
    servers = [] if "sentinel" in url else RedisUrl.of(url).servers
    probed = probes_to({int(info["tcp_port"])}.union(each.get("port", 6379) for each in servers))

    assert probed
    assert [each for each in probed if each != PROBES] == []


REFUSE = 'return redis.error_reply("READONLY You can\'t write against a read only replica.")'
"""A script that answers as a replica answers a write."""


@pytest.mark.parametrize("pipelined", [False, True])
async def test_a_refused_write_fails_no_other_call(client: RedisClient, pipelined: bool) -> None:
    """The answer READONLY to one of several concurrent calls fails this one alone."""
    names = [unique_name() for _ in range(20)]

    async def write(name: str) -> object:
        return await (run(client, [("SET", name, name, "PX", 60_000)]) if pipelined else client.set(name, name))

    async def refuse() -> object:
        command = ("EVAL", REFUSE, 1, names[0])
        return await (run(client, [command]) if pipelined else client.execute_command(*command))

    first, refused, *others = await asyncio.gather(
        write(names[0]), refuse(), *map(write, names[1:]), return_exceptions=True
    )

    assert isinstance(refused, RedisError)
    assert [each for each in (first, *others) if isinstance(each, BaseException)] == []
    assert await asyncio.gather(*map(client.get, names)) == [name.encode() for name in names]


async def test_a_sentinel_url_selects_a_numbered_database(redis_sentinel_url: str) -> None:
    """The number after the master's name selects the database."""
    name = unique_name()
    async with create_client(redis_sentinel_url) as first, create_client(f"{redis_sentinel_url}/1") as second:
        await first.set(name, "", px=60_000)

        assert await second.get(name) is None
        assert await first.get(name) == b""


@pytest.mark.parametrize("option", ["no_such=1", "max_connections=many", "ssl_cert_reqs=perhaps"])
@pytest.mark.parametrize("start", ["rediss://", "rediss+cluster://", "rediss+sentinel://"])
def test_a_wrong_option_is_refused_before_it_is_used(start: str, option: str) -> None:
    """An unknown or wrong option fails when the client is created. The error does not contain the password."""
    with pytest.raises(ValueError, match=r"option|connection URL") as refused:
        create_client(f"{start}user:5ecret@host/master?{option}")

    assert "5ecret" not in str(refused.value)
