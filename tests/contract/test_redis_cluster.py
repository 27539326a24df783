"""What the settings of the client of Redis Cluster are for: docs/decisions/0014-redis-at-scale.md."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis as Server
from redis.crc import key_slot
from redis.exceptions import RedisClusterException, RedisError

from adapters.redis.client import create_client
from adapters.redis.cluster import MAX_COMMANDS, MAX_NODE_CONNECTIONS, Cluster
from adapters.redis.urls import RedisUrl
from support.servers import unique_name, wait_until
from support.topologies import SLOTS, Topology, quiet_garbage, redis_cluster, shard_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def cluster() -> Iterator[Topology]:
    """A cluster whose slots the tests of this module change."""
    with redis_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def masters(cluster: Topology) -> Iterator[list[Server]]:
    """A client of each of its masters."""
    servers = [Server(port=master.port) for [master] in cluster.shards]
    yield servers
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Hide warnings about objects that an earlier test left to the garbage collector."""
    with quiet_garbage():
        yield


def execute(server: Server, *command: object) -> Any:
    """Run a command on one server."""
    return server.execute_command(*command)  # type: ignore[no-untyped-call]


def key_of(shard: int) -> str:
    """Return a new key of this shard."""
    while shard_of(key := unique_name()) != shard:
        pass
    return key


def number_of(masters: list[Server], section: str, name: str) -> int:
    """Return the sum of a number in the INFO of the masters."""
    found = [execute(master, "INFO", section).get(name, 0) for master in masters]
    return sum(each["count"] if isinstance(each, dict) else each for each in found)


async def test_the_first_commands_go_to_the_right_masters(cluster: Topology, masters: list[Server]) -> None:
    """No master redirects one of the first commands of a client: it reads the layout before.

    redis-py sends commands to any master until then.
    """
    before = number_of(masters, "errorstats", "errorstat_MOVED")
    async with create_client(cluster.url) as client:
        await asyncio.gather(*(client.get(unique_name()) for _ in range(50)))

    assert number_of(masters, "errorstats", "errorstat_MOVED") == before


async def test_moved_slots_interrupt_no_command(cluster: Topology, masters: list[Server]) -> None:
    """While ten slots move, a command in progress on another master is answered.

    With redis-py's default of `reinitialize_steps`, every fifth MOVED closes all connections, also those in use.
    """
    (source, target, other), waited = masters, key_of(2)
    target_id = execute(target, "CLUSTER MYID")
    moved = [key_of(0) for _ in range(10)]
    async with create_client(cluster.url) as client:
        waiting: asyncio.Future[Any] = asyncio.ensure_future(client.blpop([waited], timeout=30))
        while not number_of([other], "clients", "blocked_clients"):
            await client.get(waited)
        for key in moved:
            for server in (target, source, other):
                execute(server, "CLUSTER SETSLOT", key_slot(key.encode()), "NODE", target_id)
        await asyncio.gather(*map(client.get, moved))
        await client.rpush(waited, "an element")

        assert (await waiting)[1] == b"an element"


async def test_a_slot_without_a_master_fails_its_keys_alone(cluster: Topology, masters: list[Server]) -> None:
    """While no master has a slot, its keys raise RedisError, and all others are served. It heals by itself.

    With redis-py's default of `require_full_coverage`, no command would be served.
    """
    missing = key_of(2)
    slot = key_slot(missing.encode())
    for server in reversed(masters):
        execute(server, "CONFIG SET", "cluster-require-full-coverage", "no")
        execute(server, "CLUSTER DELSLOTS", slot)
    async with create_client(cluster.url) as client:
        served = [await client.get(key_of(shard)) for shard in (0, 1, 2)]
        with pytest.raises(RedisError):
            await client.get(missing)
        execute(masters[2], "CLUSTER ADDSLOTS", slot)
        wait_until(lambda: all(covered_slots(server) == SLOTS for server in masters), "the slot")
        with suppress(RedisError):  # its layout is from before
            await client.get(missing)

        assert [*served, await client.get(missing)] == [None] * 4


def covered_slots(server: Server) -> int:
    """Return how many slots have a master, as far as this server knows."""
    return int(execute(server, "CLUSTER INFO")["cluster_slots_assigned"])


class Confused(Cluster):
    """A Cluster whose search for the node of a key ends in an error, as while nodes change."""

    error: Exception

    def keyslot(self, key: Any) -> int:
        """See RedisCluster."""
        raise self.error


@pytest.mark.parametrize("error", [AttributeError, KeyError, RuntimeError, TypeError, RedisClusterException])
async def test_no_error_of_changing_nodes_gets_out(cluster: Topology, error: type[Exception]) -> None:
    """What redis-py raises while nodes change, and is no RedisError, becomes one."""
    async with Confused(RedisUrl.of(cluster.url).servers) as client:
        client.error = error("nodes change")
        with pytest.raises(RedisError) as raised:
            await client.get(unique_name())

    assert raised.value.__cause__ is client.error


async def test_more_commands_than_connections_are_all_answered(cluster: Topology, masters: list[Server]) -> None:
    """Of 1,500 commands at once to one master, all are answered, over a hundred connections.

    redis-py raises when it has no connection for a command. It does not wait for one.
    """
    key, commands = key_of(2), 1500
    assert commands > MAX_NODE_CONNECTIONS
    async with create_client(cluster.url) as client:
        await client.get(key)  # the layout is known then, and the commands start at once
        answers = await asyncio.gather(*(client.get(key) for _ in range(commands)))
        connections = number_of([masters[2]], "clients", "connected_clients")

    assert answers == [None] * commands
    assert connections < 2 * MAX_COMMANDS
