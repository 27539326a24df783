"""A dictionary of bounded size."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruDict(Generic[K, V]):
    """At most `size` values by key. The least recently used one is dropped."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def get(self, key: K) -> V | None:
        """Return the value of `key`, or None, and mark it as used."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def get_or_add(self, key: K, new: Callable[[], V]) -> V:
        """Return the value of `key`, after adding the result of `new` if there is none."""
        if key not in self._values:
            self[key] = new()
        self._values.move_to_end(key)
        return self._values[key]
