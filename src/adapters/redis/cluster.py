"""A client of Redis Cluster that many requests share; why not redis-py's: docs/decisions/0014-redis-at-scale.md."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis.cluster_node import Command, Node, Unsent
from adapters.redis.pools import ANSWER_SECONDS
from adapters.redis.shared import Shared
from adapters.redis.urls import Options

ATTEMPTS = 3
KEYLESS = ("ECHO", "PING")

NOT_EXECUTED = (Unsent, MovedError, AskError, TryAgainError)
"""What makes it safe to send a command again. One whose answer got lost is not: it may have been executed, and what it
wrote may have ended since."""

OUTDATED = (RedisConnectionError, RedisTimeoutError, OSError, MovedError, ClusterDownError)
"""What says that slots may have moved."""


class ClusterClient(Redis):
    """Sends each command to the node that has its key, and one without a key to all masters.

    Which node that is, it asks before the first command, and again when a node is gone or says that a slot moved: once
    for all who wait. A connection in use is never closed, and what one node does is nothing to the others' commands.
    """

    def __init__(self, seeds: Sequence[Options]) -> None:
        self._options = {name: value for name, value in seeds[0].items() if name not in ("host", "port", "db")}
        self._nodes: dict[tuple[str, int], Node] = {}
        self._seeds = [self._node(seed["host"], seed.get("port", 6379)) for seed in seeds]
        self._owners: list[Node | None] = []
        self._outdated = True
        self._informed: Node | None = None
        self._up_to_date = Shared(self._look_up)
        super().__init__(connection_pool=self._seeds[0].redis.connection_pool)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Its answer; of a command without a key, the last one's. Raises what redis-py raises."""
        command = (args, options)
        if args[0] in KEYLESS:
            answers = await asyncio.gather(*(node.send([command]) for node in await self._masters()))
            return _raise_first(self._learn([answer for (answer,) in answers]))[-1]
        return _raise_first(await self.run([command]))[0]

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:  # noqa: ARG002  # redis-py's
        """Commands that travel together, as far as they go to the same node; there are no transactions."""
        return ClusterPipeline(self)

    async def scan_iter(self, *args: Any, **options: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        """The keys of all masters."""
        for node in await self._masters():
            async for key in node.redis.scan_iter(*args, **options):
                yield key

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: ARG002  # redis-py's
        """Hang up on all nodes."""
        await asyncio.gather(*(node.redis.aclose() for node in self._nodes.values()))

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """What they are answered, exceptions among it. Only what was certainly not executed is sent again."""
        answers: list[Any] = [Unsent()] * len(commands)
        unreachable: set[Node] = set()
        for _ in range(ATTEMPTS):
            if self._outdated:
                await self._up_to_date()
            places = self._places(commands, answers, unreachable)
            match [self._send(node, commands, indices, answers) for node, indices in places.items()]:
                case [one]:
                    await one  # without a task: it is what most requests do
                case several:
                    await asyncio.gather(*several)
            self._learn(answers)
            unreachable |= {node for node, (index, *_) in places.items() if isinstance(answers[index], Unsent)}
            if not places or not any(isinstance(answer, NOT_EXECUTED) for answer in answers):
                break
        return answers

    def _places(self, commands: Sequence[Command], answers: list[Any], without: set[Node]) -> dict[Node, list[int]]:
        places: dict[Node, list[int]] = {}
        for index, (args, _) in enumerate(commands):
            owner = self._owners[_slot(args)]
            if owner and owner not in without and isinstance(answers[index], NOT_EXECUTED):
                places.setdefault(owner, []).append(index)
        return places

    async def _send(self, node: Node, commands: Sequence[Command], indices: list[int], answers: list[Any]) -> None:
        for index, answer in zip(indices, await node.send([commands[index] for index in indices]), strict=True):
            answers[index] = answer
            if type(answer) is AskError:
                asked = self._node(answer.host or node.host, answer.port)
                _, answers[index] = await asked.send([(("ASKING",), {}), commands[index]])
            if isinstance(answer, MovedError):
                self._informed = self._node(answer.host or node.host, answer.port)

    def _learn(self, answers: list[Any]) -> list[Any]:
        self._outdated = self._outdated or any(isinstance(answer, OUTDATED) for answer in answers)
        return answers

    async def _masters(self) -> list[Node]:
        if self._outdated:
            await self._up_to_date()
        return list(dict.fromkeys(owner for owner in self._owners if owner))

    async def _look_up(self) -> None:
        informed, self._informed = self._informed, None
        deadline = time.monotonic() + ANSWER_SECONDS
        for node in sorted(self._nodes.values(), key=lambda node: (node is not informed, node.failed_at)):
            if (slots := await node.slots()) is not None:
                return await self._adopt(slots, node)
            if time.monotonic() > deadline:
                break
        raise RedisConnectionError("No node of the cluster answers")

    async def _adopt(self, slots: list[Any], asked: Node) -> None:
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        members = set(self._seeds)
        for first, last, *servers in slots:
            nodes = [self._node(host.decode() if host else asked.host, port) for host, port, *_ in servers]
            owners[first : last + 1] = [nodes[0]] * (last + 1 - first)
            members.update(nodes)
        self._owners, self._outdated = owners, False
        for address in [address for address, node in self._nodes.items() if node not in members]:
            await self._nodes.pop(address).redis.connection_pool.disconnect(inuse_connections=False)

    def _node(self, host: str, port: int) -> Node:
        if (host, port) not in self._nodes:
            self._nodes[host, port] = Node(host, port, self._options)
        return self._nodes[host, port]


class ClusterPipeline(Pipeline):
    """Collects commands for a ClusterClient."""

    def __init__(self, cluster: ClusterClient) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction=False, shard_hint=None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """What they are answered. Raises what redis-py raises."""
        commands, self.command_stack = self.command_stack, []
        answers = await self._cluster.run(commands)
        return _raise_first(answers) if raise_on_error else answers


def _slot(args: Sequence[Any]) -> int:
    match args[0]:
        case "EVAL":
            key = args[3]
        case "XREADGROUP":
            key = args[args.index(b"STREAMS") + 1]
        case _:
            key = args[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _raise_first(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
