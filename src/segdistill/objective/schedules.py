"""How a weight, a shift or a number of samples changes over training."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A value that changes with the step.

    - ``constant``: ``start`` throughout.
    - ``exponential``: ``start`` times ``factor`` once every ``every`` steps (DepthG's schedules).
    - ``linear``: evenly from ``start`` to ``target`` over ``every`` steps, then ``target``.

    Attributes:
        start: the value at step 0.
        kind: which of the forms.
        factor: of ``exponential``, greater than 0.
        target: of ``linear``.
        every: steps, at least 1.
        minimum: the value never goes below; none if not given.

    Raises:
        ValueError: a number outside its range.
    """

    start: float
    kind: Literal["constant", "exponential", "linear"] = "constant"
    factor: float = 1.0
    target: float | None = None
    every: int = 1
    minimum: float = -math.inf

    def __post_init__(self) -> None:
        if self.factor <= 0:
            raise ValueError(f"factor is {self.factor}: it must be greater than 0")
        if self.every < 1:
            raise ValueError(f"every is {self.every}: it must be at least 1 step")
        if self.kind == "linear" and self.target is None:
            raise ValueError("a linear schedule takes a target")


def value_at(schedule: Schedule, step: int, *, early: bool = False) -> float:
    """Return the value at a step.

    Args:
        schedule: how it changes.
        step: counted from 0.
        early: an exponential schedule changes at step 0 already, as in DepthG's released code: its
            first period has the second period's value.

    Raises:
        ValueError: a negative step.

    Example:
        >>> weight = Schedule(0.16, "exponential", factor=0.5, every=300)
        >>> value_at(weight, 299), value_at(weight, 300)
        (0.16, 0.08)
        >>> value_at(Schedule(0.0, "linear", target=1.0, every=10), 4)
        0.4
    """
    if step < 0:
        raise ValueError(f"step is {step}: steps count from 0")
    value = schedule.start
    if schedule.kind == "exponential":
        value *= schedule.factor ** (step // schedule.every + early)
    elif schedule.kind == "linear" and schedule.target is not None:
        done = min(step / schedule.every, 1.0)
        value = schedule.start * (1 - done) + schedule.target * done
    return max(value, schedule.minimum)


def count_at(schedule: Schedule, step: int, *, early: bool = False) -> int:
    """Return the value at a step as a number of things, rounded down, at least 1.

    Rounded down as DepthG's code does: of 11, nine tenths are 9. Each value is rounded from the
    exact one, so errors don't add up over the periods.

    Args:
        schedule: how it changes.
        step: counted from 0.
        early: see :func:`value_at`; DepthG's published ViT-S samples 11 x 11 locations on paper and
            9 x 9 in the released code, from the first step.

    Example:
        >>> side = Schedule(11, "exponential", factor=0.9, every=1000, minimum=4)
        >>> [count_at(side, step) for step in (0, 999, 1000, 50_000)]
        [11, 11, 9, 4]
        >>> count_at(side, 0, early=True)
        9
    """
    # A little more than the value: 0.7 x 0.7 x 100 is 48.999... in floating point.
    return max(math.floor(value_at(schedule, step, early=early) + 1e-9), 1)
