"""The section on how the number of classes was found: a small SVG drawing and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segdistill.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, round_ticks

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class NumberRow:
    """A number of classes that was tried.

    Attributes:
        number: of classes.
        agreement: of clusterings of two halves of the images, in words.
        separation: of the classes, in words.
        taken: whether the fit took it.
    """

    number: int
    agreement: str
    separation: str
    taken: bool


@dataclass(frozen=True)
class CountSection:
    """What the section says.

    Attributes:
        chosen: number that the fit took.
        stands_out: whether it was found, or is the default.
        needed: agreement that a number needs to be taken, in words.
        agreement: points of the drawing, as SVG wants them.
        separation: the same.
        dot: where the chosen number lies on the curve of separation, if it was tried.
        across: marks on the axis of numbers.
        up: marks on the axis of values.
        rows: of the table.
    """

    chosen: int
    stands_out: bool
    needed: str
    agreement: str
    separation: str
    dot: tuple[float, float] | None
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    rows: tuple[NumberRow, ...]


def count_section(facts: Mapping[str, Any]) -> CountSection | None:
    """Prepare the section.

    Args:
        facts: of the fit; ``class_count`` among them holds what
            :class:`segdistill.training.class_count.ClassCount` does, where the number of classes
            was estimated.

    Returns:
        The section, or ``None`` where the number of classes was given.
    """
    count = facts.get("class_count")
    if not count:
        return None
    numbers: Sequence[int] = count["candidates"]
    agreement: Sequence[float] = count["stability"]
    separation: Sequence[float] = count["silhouette"]
    first, last = numbers[0], max(numbers[-1], numbers[0] + 1)

    def x_of(number: float) -> float:
        return round(LEFT + (number - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        # Agreement falls a little below 0 where it is worse than chance.
        return round(TOP + (1 - max(value, 0)) * (HEIGHT - TOP - BOTTOM), 1)

    def points(values: Sequence[float]) -> str:
        return " ".join(
            f"{x_of(number)},{y_of(value)}" for number, value in zip(numbers, values, strict=True)
        )

    found = dict(zip(numbers, separation, strict=True)).get(count["chosen"])
    ticks = [tick for tick in round_ticks(first, last, 6) if tick == int(tick)]
    return CountSection(
        chosen=count["chosen"],
        stands_out=count["stands_out"],
        needed=f"{count['needed']:g}",
        agreement=points(agreement),
        separation=points(separation),
        dot=None if found is None else (x_of(count["chosen"]), y_of(found)),
        across=tuple(Tick(x_of(tick), f"{tick:.0f}") for tick in ticks),
        up=tuple(Tick(y_of(level), f"{level:.1f}") for level in LEVELS),
        rows=tuple(
            NumberRow(number, f"{one:.2f}", f"{other:.2f}", number == count["chosen"])
            for number, one, other in zip(numbers, agreement, separation, strict=True)
        ),
    )
