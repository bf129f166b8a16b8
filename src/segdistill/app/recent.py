"""A cache that keeps what was used last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps the values used last, up to a limit.

    Args:
        limit: values kept, at least 1.

    Example:
        >>> squares = Recent(2)
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
        """Return the value kept under a key, or make it, keep it and forget the oldest."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._limit:
            self._values.popitem(last=False)
        return self._values[key]

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
