"""Redis Cluster and Redis Sentinel, ready at once: every server knows the others from its start."""

import gc
import secrets
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError

from support.servers import FREE_PORTS, Server, free_port, redis_server, wait_until

SLOTS = 16384
BUS = 10_000
"""The distance between a node's port for clients and its port for other nodes. Redis 6.2 has no other."""
MASTER = "wxlogin"
"""The name of the master in the sentinels."""


@dataclass
class Topology:
    """Shards, each with first its master and then its replicas until a master fails, and the URL for clients."""

    url: str
    shards: list[list[Server]]


@dataclass
class Node:
    """A node of a cluster, as nodes.conf describes it: https://redis.io/docs/latest/commands/cluster-nodes."""

    shard: int
    master: "Node | None" = None
    port: int = field(default_factory=lambda: _cluster_port())
    announced: int = 0
    """The port for clients that the cluster names, if it is another: that of a proxy."""
    id: str = field(default_factory=lambda: secrets.token_hex(20))

    def line(self, me: bool) -> str:
        """Return the line that describes this node, for itself or for another node."""
        first, end = (SLOTS * part // 3 for part in (self.shard, self.shard + 1))
        role = f"slave {self.master.id}" if self.master else "master -"
        address = f"127.0.0.1:{self.announced or self.port}@{self.port + BUS}"
        return (
            f"{self.id} {address} {'myself,' if me else ''}{role} 0 0 {self.shard + 1}"
            f" connected{'' if self.master else f' {first}-{end - 1}'}\n"
        )


def shard_of(key: str) -> int:
    """Return the number of the shard of a `redis_cluster` that has the key."""
    return next(shard for shard in range(3) if key_slot(key.encode()) < SLOTS * (shard + 1) // 3)


@contextmanager
def redis_cluster(replicas: int = 0, announce: Callable[[int], int] = lambda port: port) -> Iterator[Topology]:
    """Run three masters, each with a third of the slots and so many replicas.

    A failure is noticed after 0.5 seconds. Clients are sent to the port that `announce` returns for a node's port.
    """
    masters = [Node(shard) for shard in range(3)]
    nodes = [*masters, *(Node(master.shard, master) for master in masters for _ in range(replicas))]
    for node in nodes:
        node.announced = announce(node.port)
    with ExitStack() as stack:
        servers = [stack.enter_context(_cluster_node(node, nodes)) for node in nodes]
        wait_until(lambda: all(is_in_cluster(server) for server in servers), "the cluster")
        wait_until(lambda: all(_has_replicas(server, replicas) for server in servers[:3]), "the cluster's replicas")
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{master.announced}" for master in masters)
        yield Topology(url, [servers[shard::3] for shard in range(3)])


def _cluster_node(node: Node, nodes: list[Node]) -> AbstractContextManager[Server]:
    conf = "".join(each.line(each is node) for each in nodes) + "vars currentEpoch 3 lastVoteEpoch 0\n"
    return redis_server(
        port=node.port,
        files={"nodes.conf": conf},
        cluster_enabled="yes",
        cluster_node_timeout="500",
        cluster_announce_port=str(node.announced),
        cluster_announce_bus_port=str(node.port + BUS),
        **QUICK,
    )


@contextmanager
def redis_sentinel() -> Iterator[Topology]:
    """Run a master, a replica, and three sentinels that notice a failure of the master after 0.5 seconds."""
    with ExitStack() as stack:
        master = stack.enter_context(redis_server(**QUICK))
        replica = stack.enter_context(redis_server("--replicaof", "127.0.0.1", str(master.port), **QUICK))
        wait_until(lambda: _has_replicas(master, 1), "the replica")
        known = [(free_port(), secrets.token_hex(20)) for _ in range(3)]
        for port, sentinel_id in known:
            others = [f"sentinel known-sentinel {MASTER} 127.0.0.1 {p} {i}" for p, i in known if i != sentinel_id]
            conf = [
                f"sentinel monitor {MASTER} 127.0.0.1 {master.port} 2",
                f"sentinel myid {sentinel_id}",
                f"sentinel down-after-milliseconds {MASTER} 500",
                f"sentinel failover-timeout {MASTER} 2000",
                f"sentinel known-replica {MASTER} 127.0.0.1 {replica.port}",
                *others,
            ]
            files = {"sentinel.conf": "\n".join(conf) + "\n"}
            stack.enter_context(redis_server("{directory}/sentinel.conf", "--sentinel", port=port, files=files))
        wait_until(lambda: all(_sees_all(port) for port, _ in known), "the sentinels")
        hosts = ",".join(f"127.0.0.1:{port}" for port, _ in known)
        yield Topology(f"redis+sentinel://{hosts}/{MASTER}", [[master, replica]])


def replicate(topology: Topology) -> None:
    """Return when the replicas have all data, which is when they acknowledge a later write."""
    for master, *replicas in topology.shards:
        with Redis(port=master.port) as redis:
            next(filter(partial(_writes, redis), map(str, count())))
            assert redis.wait(len(replicas), 10_000) == len(replicas)


def _writes(redis: Redis, key: str) -> bool:
    """Return whether this master has the key, after a write of the key."""
    try:
        return bool(redis.set(key, "", px=1))
    except MovedError:
        return False


@contextmanager
def quiet_garbage() -> Iterator[None]:
    """Collect garbage when the block ends, because redis-py 8.1 leaves connections of replaced nodes to it."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


QUICK: dict[str, Any] = {"repl_diskless_sync": "yes", "repl_diskless_sync_delay": "0", "repl_ping_replica_period": "1"}
"""Options that make replicas ready at once, and not after five seconds."""


def _ask(port: int, *command: str) -> Any:
    with suppress(RedisError), Redis(port=port) as redis:
        return redis.execute_command(*command)
    return None


def is_in_cluster(server: Server) -> bool:
    """Return whether the server sees the whole cluster."""
    info = _ask(server.port, "CLUSTER INFO")
    return bool(info) and info["cluster_state"] == "ok"


def _has_replicas(server: Server, number: int) -> bool:
    replication = _ask(server.port, "INFO", "replication") or {}
    online = [each for name, each in replication.items() if name.startswith("slave") and each["state"] == "online"]
    return len(online) == number


def _sees_all(port: int) -> bool:
    masters = _ask(port, "SENTINEL MASTERS") or {}
    state = masters.get(MASTER, {})
    return bool(state) and state["is_master"] and (state["num-slaves"], state["num-other-sentinels"]) == (1, 2)


def _cluster_port() -> int:
    while True:
        port = free_port(FREE_PORTS[:-BUS])
        with suppress(OSError), socket.create_server(("127.0.0.1", port + BUS)):
            return port
