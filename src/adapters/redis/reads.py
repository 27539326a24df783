"""How values are read: from a Redis with a memory in front of it, from a cluster without."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from redis.asyncio import RedisCluster

V = TypeVar("V")
Decode = Callable[[str, bytes], V]

REMEMBERED = 20_000
"""How many values a process remembers, of about a KiB each."""


class Memory(Generic[V]):
    """What was read on a connection and has not changed since: at most `size` values, the oldest of which give way."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self.values: dict[str, V] = {}
        self._asked: set[str] = set()
        self._size = size
        self._limit = 0

    def start(self, *, tracked: bool) -> None:
        """Forget all: there is a new connection, on which Redis tells of changes, or does not."""
        self.forget(None)
        self._limit = self._size if tracked else 0

    def forget(self, keys: Sequence[bytes] | None) -> None:
        """These keys changed; None: all did."""
        if keys is None:
            self.values.clear()
            self._asked.clear()
        else:
            for key in keys:
                self.values.pop(key.decode(), None)
                self._asked.discard(key.decode())

    def expect(self, keys: set[str]) -> None:
        """These are about to be read. Until they are added, any change or new connection makes them unfit for it."""
        self._asked |= keys

    def add(self, found: Mapping[str, V]) -> None:
        """Remember what was read, unless it changed since, while its reader waited to be woken."""
        self.values |= {key: value for key, value in found.items() if key in self._asked}
        self._asked.clear()
        while len(self.values) > self._limit:
            del self.values[next(iter(self.values))]


class TrackedReads(Generic[V]):
    """Reads from a Redis that nobody is answered from memory alone.

    What is still remembered when a PING is answered had not changed before it: Redis tells of changes in order with
    its answers. So a batch of remembered keys costs one PING, whatever its size; a change that anybody was told of
    before the batch is seen by it, and with Redis away nobody gets an answer.
    """

    def __init__(self, ask: Callable[..., Awaitable[list[Any]]], memory: Memory[V], decode: Decode[V]) -> None:
        self._ask = ask
        self._memory = memory
        self._decode = decode

    async def __call__(self, keys: Sequence[str]) -> list[V | None]:
        """The value of each, or None. Raises what Wire.ask raises."""
        found: dict[str, V] = {}
        unknown = set(keys)
        while unknown:
            remembered = unknown & self._memory.values.keys()
            found |= await self._fetch(unknown - remembered)
            found |= {key: self._memory.values[key] for key in remembered & self._memory.values.keys()}
            unknown = remembered - self._memory.values.keys()  # they changed while Redis was asked
        return [found.get(key) for key in keys]

    async def _fetch(self, keys: set[str]) -> dict[str, V]:
        if not keys:
            await self._ask(("PING",))
            return {}
        asked = [*keys]
        self._memory.expect(keys)
        [values] = await self._ask(("MGET", *asked))
        found = {key: self._decode(key, value) for key, value in zip(asked, values, strict=True) if value is not None}
        self._memory.add(found)
        return found


class ClusterReads(Generic[V]):
    """Reads from a cluster, which asks each slot by itself. Nothing is remembered: slots move between nodes."""

    def __init__(self, redis: RedisCluster, decode: Decode[V]) -> None:
        self._redis = redis
        self._decode = decode

    async def __call__(self, keys: Sequence[str]) -> list[V | None]:
        """See TrackedReads."""
        values: list[Any] = await self._redis.mget_nonatomic(keys)
        return [None if value is None else self._decode(key, value) for key, value in zip(keys, values, strict=True)]
