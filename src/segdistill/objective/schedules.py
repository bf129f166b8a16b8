"""Schedules for the weight and shift of the depth term and for the number of samples."""

import math
from dataclasses import dataclass
from typing import Literal

from segdistill.config.settings import FitSettings


@dataclass(frozen=True)
class Schedule:
    """A value that depends on the training step, counted from 0.

    - ``constant``: ``start`` throughout.
    - ``exponential``: multiplied by ``factor`` every ``every`` steps (DepthG's schedules).
    - ``linear``: from ``start`` to ``start * factor`` over ``every`` steps, then constant.

    Attributes:
        start: value at step 0.
        kind: kind of schedule.
        factor: factor of the change, greater than 0.
        every: number of steps, at least 1.
        minimum: lower bound of the value; none by default.
        early: whether an exponential schedule already changes at step 0, as in DepthG's released
            code: the published ViT-S samples 11 x 11 locations in the paper, but 9 x 9 in the code.

    Example:
        >>> weight = Schedule(0.16, "exponential", factor=0.5, every=300)
        >>> weight.at(299), weight.at(300)
        (0.16, 0.08)
        >>> [Schedule(11, "exponential", 0.9, 1000).count_at(step) for step in (0, 999, 1000)]
        [11, 11, 9]
    """

    start: float
    kind: Literal["constant", "exponential", "linear"] = "constant"
    factor: float = 1.0
    every: int = 1
    minimum: float = -math.inf
    early: bool = False

    def at(self, step: int) -> float:
        """Return the value at a step."""
        value = self.start
        if self.kind == "exponential":
            value *= self.factor ** (step // self.every + self.early)
        elif self.kind == "linear":
            done = min(step / self.every, 1.0)
            value = self.start * (1 - done) + self.start * self.factor * done
        return max(value, self.minimum)

    def count_at(self, step: int) -> int:
        """Return the value as a count: rounded down, as in DepthG's code, and at least 1."""
        # The margin absorbs rounding errors: 0.7 x 0.7 x 100 is 48.999... in floating point.
        return max(math.floor(self.at(step) + 1e-9), 1)


def depth_schedules(settings: FitSettings, *, shift: float = 0.0) -> dict[str, Schedule]:
    """Return the schedules of the depth weight, the depth shift and the samples per side."""
    depth = settings.depth

    def schedule(start: float, factor: float, every: int, minimum: float) -> Schedule:
        kind = depth.schedule if factor != 1 else "constant"
        return Schedule(start, kind, factor, every, min(minimum, start), depth.as_released)

    samples = float(settings.objective.samples)
    return {
        "weight": schedule(
            depth.weight, depth.weight_factor, depth.weight_every, depth.weight_minimum
        ),
        "shift": schedule(shift, depth.shift_factor, depth.shift_every, depth.shift_minimum),
        "samples": schedule(
            samples, depth.samples_factor, depth.samples_every, depth.samples_minimum
        ),
    }
