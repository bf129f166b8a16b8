"""The section on how the number of classes was estimated: a small SVG drawing and a table."""

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
        agreement: of clusterings of two halves of the images, formatted.
        separation: of the classes, formatted.
        level: the level that has this number; empty for most.
    """

    number: int
    agreement: str
    separation: str
    level: str


@dataclass(frozen=True)
class CountSection:
    """What the section says.

    Attributes:
        chosen: number of classes of the medium level, which the fit uses.
        coarse: number of classes of the coarse level; 0 in runs of earlier versions.
        confidence: ``high``, ``low`` or ``none``.
        reached: agreement at the number used, or the nearest one tried, formatted.
        needed: agreement that a number needs, formatted.
        agreement: points of the drawing, as SVG wants them.
        separation: the same.
        dot: the chosen number on the curve of agreement, if it was tried.
        across: marks on the axis of numbers.
        up: marks on the axis of values.
        rows: of the table.
    """

    chosen: int
    coarse: int
    confidence: str
    reached: str
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

    # Earlier versions told only whether a number stood out.
    confidence = count.get("confidence", "high" if count.get("stands_out") else "none")
    coarse = count.get("coarse", 0)
    level_of = {coarse: "coarse", count["chosen"]: "medium"} if coarse else {}
    nearest = min(range(len(numbers)), key=lambda at: abs(numbers[at] - count["chosen"]))
    found = dict(zip(numbers, agreement, strict=True)).get(count["chosen"])
    ticks = [tick for tick in round_ticks(first, last, 6) if tick == int(tick)]
    return CountSection(
        chosen=count["chosen"],
        coarse=coarse,
        confidence=confidence,
        reached=f"{agreement[nearest]:.2f}",
        needed=f"{count['needed']:g}",
        agreement=points(agreement),
        separation=points(separation),
        dot=None if found is None else (x_of(count["chosen"]), y_of(found)),
        across=tuple(Tick(x_of(tick), f"{tick:.0f}") for tick in ticks),
        up=tuple(Tick(y_of(level), f"{level:.1f}") for level in LEVELS),
        rows=tuple(
            NumberRow(number, f"{one:.2f}", f"{other:.2f}", level_of.get(number, ""))
            for number, one, other in zip(numbers, agreement, separation, strict=True)
        ),
    )
