"""Memory that has a bound."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruDict(Generic[K, V]):
    """At most `size` values by key: one more, and the value that was not used for longest is forgotten."""

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
        """The value of `key`, when it is remembered, and is used herewith."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def get_or_add(self, key: K, new: Callable[[], V]) -> V:
        """The value of `key`, and what `new` makes when there is none."""
        if key not in self._values:
            self[key] = new()
        self._values.move_to_end(key)
        return self._values[key]
