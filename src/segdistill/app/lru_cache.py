"""A least recently used (LRU) cache."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LRUCache(Generic[Key, Value]):
    """A cache that evicts the least recently used values.

    Args:
        limit: maximum number of values, at least 1.

    Example:
        >>> squares = LRUCache(2)
        >>> [squares.get(n, lambda n=n: n * n) for n in (3, 4, 3, 5)]
        [9, 16, 9, 25]
        >>> 4 in squares, 3 in squares
        (False, True)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return a cached value, or compute and cache it."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._limit:
            self._values.popitem(last=False)
        return self._values[key]

    def clear(self) -> None:
        """Remove all values."""
        self._values.clear()
