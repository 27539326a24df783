"""A memory in front of Redis, which is never older than the question."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from adapters.redis.stream import Command

V = TypeVar("V")
Decode = Callable[[str, bytes], V]

TRACK_NEXT: Command = ("CLIENT", "CACHING", "YES")
"""Without it Redis would also note each key that a script reads: 150 bytes for each user who logs in."""

TOGETHER = 100
"""How many values one command reads at most: others wait for it."""

REMEMBERED = 20_000
"""How many values a process remembers, of about a KiB each."""

Count = Callable[..., None]
"""Is called to count one, or the number it is given."""


def uncounted(_number: int = 1) -> None:
    """Count nothing."""


class Memory(Generic[V]):
    """What was read on a connection and has not changed since: at most `size` values, the oldest of which give way.

    Its readers call `hit` for a value that was here, and `miss` for one that was not.
    """

    def __init__(self, size: int = REMEMBERED, hit: Count = uncounted, miss: Count = uncounted) -> None:
        self.values: OrderedDict[str, V] = OrderedDict()  # whose first is found at once
        self.hit = hit
        self.miss = miss
        self.asking: tuple[Command, ...] = ()  # what precedes a GET, so that Redis tells of changes of its key
        self._readings: dict[str, object] = {}
        self._size = size
        self._limit = 0

    def start(self, *, tracked: bool) -> None:
        """Forget all: there is a new connection, on which Redis tells of changes, or does not."""
        self.forget(None)
        self._limit, self.asking = (self._size, (TRACK_NEXT,)) if tracked else (0, ())

    def forget(self, keys: Sequence[bytes] | None) -> None:
        """These keys changed; None: all did."""
        if keys is None:
            self.values.clear()
            self._readings.clear()
        else:
            for key in keys:
                self.values.pop(key.decode(), None)
                self._readings.pop(key.decode(), None)

    def expect(self, key: str) -> object:
        """The key is about to be read. What this returns is that reading: the only one of the key to be remembered."""
        reading = self._readings[key] = object()
        return reading

    def add(self, key: str, value: V | None, reading: object) -> None:
        """Remember what was read, unless it changed since, while its reader waited to be woken."""
        if self._readings.get(key) is not reading:
            return
        del self._readings[key]
        if value is not None:
            self.values[key] = value
            if len(self.values) > self._limit:
                self.values.popitem(last=False)


class Reader(Protocol[V]):
    """Reads values of Redis. Raises what redis-py raises, and TimeoutError."""

    @abstractmethod
    async def __call__(self, key: str) -> V | None:
        """The value, or None, as it was at some time after the call."""

    async def together(self, keys: Sequence[str]) -> list[V]:  # noqa: ARG002  # for those that can
        """Those of the values that are had in one go, as they were at some time after the call."""
        return []


class TrackedReader(Reader[V]):
    """Reads from a Redis that answers nobody from memory alone.

    What is remembered when an answer of Redis comes in had not changed before that answer: Redis tells of changes in
    order with its answers. So all who ask at once for what is remembered wait for one PING together; a change that
    anybody was told of before is seen; and with Redis away nobody gets an answer. Who asks together for what is not
    remembered shares a command, a future and a task: 12 us a value instead of 19.
    """

    def __init__(self, ask: Callable[..., Awaitable[list[Any]]], memory: Memory[V], decode: Decode[V]) -> None:
        self._ask = ask
        self._memory = memory
        self._decode = decode

    async def __call__(self, key: str) -> V | None:
        """See Reader."""
        if key in self._memory.values:
            await self._ask()
            if key in self._memory.values:
                self._memory.hit()
                return self._memory.values[key]
        return await self._fetch(key)

    async def together(self, keys: Sequence[str]) -> list[V]:
        """See Reader."""
        remembered, fetched = self._memory.values, dict[str, V]()
        readings = {key: self._memory.expect(key) for key in keys if key not in remembered}
        try:
            answers = await self._ask(*self._mget(list(readings)))
            found = {key: remembered[key] for key in keys if key in remembered}
            stored = chain.from_iterable(answer for answer in answers if isinstance(answer, list))
            for key, value in zip(readings, stored, strict=True):
                if value is not None:
                    with suppress(Exception):  # whoever reads it alone hears what is wrong with it
                        fetched[key] = self._decode(key, value)
        finally:
            for key, reading in readings.items():
                self._memory.add(key, fetched.get(key), reading)
        self._memory.hit(len(found))
        self._memory.miss(len(fetched))
        found |= fetched
        return [found[key] for key in keys if key in found]

    def _mget(self, keys: Sequence[str]) -> Sequence[Command]:
        """What reads the keys and has changes of them told; for none of them what SharedConnection makes a PING of."""
        parts = (keys[at : at + TOGETHER] for at in range(0, len(keys), TOGETHER))
        return [command for part in parts for command in (*self._memory.asking, ("MGET", *part))]

    async def _fetch(self, key: str) -> V | None:
        self._memory.miss()
        reading, value = self._memory.expect(key), None
        try:
            *_, stored = await self._ask(*self._memory.asking, ("GET", key))
            value = None if stored is None else self._decode(key, stored)
        finally:
            self._memory.add(key, value, reading)
        return value
