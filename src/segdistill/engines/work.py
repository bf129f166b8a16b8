"""Serialisable description of work on a large number of items."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

EngineName = Literal["local", "ray"]

Row = dict[str, Any]
"""An item or its result, as JSON-compatible values."""

FAILURE = "failure"
"""Key of a row with an error that stops all work."""


class Work(Protocol):
    """Work that can be pickled and sent to another process."""

    @property
    def device(self) -> str:
        """Device to compute on; with ``cpu``, workers request no GPU."""

    def start(self, *, threads: int) -> Callable[[Sequence[Row]], Iterator[Row]]:
        """Load models and other resources, once per process.

        Args:
            threads: number of threads in addition to the calling one.

        Returns:
            A function that takes items and yields a row for each, in any order.

        Raises:
            UserError: a resource is missing.
        """
