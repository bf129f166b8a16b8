"""One fault: what is drawn for it, what it did, and how it ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.faults.worlds import Worlds

Choice = TypeVar("Choice")


@dataclass
class Trial:
    """A fault that is being injected.

    Attributes:
        worlds: where it is injected.
        random: what its choices are drawn from; the seed and the number of the fault alone
            determine it.
        told: what was done, in words.
        injected: whether the fault took place: a command may be over before its moment comes.
        resumed_equal: whether the result was compared, byte for byte where that is promised, with
            that without a fault.
        refused: whether a command refused to go on, with one line.
    """

    worlds: Worlds
    random: Random
    told: list[str] = field(default_factory=list)
    injected: bool = False
    resumed_equal: bool = False
    refused: bool = False

    def tell(self, text: object) -> None:
        """Note what is done next."""
        self.told.append(str(text))

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """Draw one of several."""
        return self.random.choice(choices)


Kind = Callable[[Trial], None]
"""Injects a fault of a kind, and raises AssertionError if something is lost or wrong."""
