"""Work on very many items, described so that it can be sent to whoever does it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

EngineName = Literal["local", "ray"]

Row = dict[str, Any]
"""An item, or what became of it, in values that JSON can hold."""

FAILURE = "failure"
"""Key of a row that says why all the work is to stop."""


class Work(Protocol):
    """Work that can be sent to another process."""

    @property
    def device(self) -> str:
        """Where it is to be done: with ``cpu`` no GPU is asked for."""

    def start(self, *, threads: int) -> Callable[[Sequence[Row]], Iterator[Row]]:
        """Load what is needed, once in each process.

        Args:
            threads: to work with beside the calling one.

        Returns:
            A function that takes items and yields a row for each, in any order.

        Raises:
            UserError: something is not there.
        """
