"""How the weight and shift of the depth term and the number of samples change over training."""

import math
from dataclasses import dataclass
from typing import Literal

from segdistill.config.settings import FitSettings


@dataclass(frozen=True)
class Schedule:
    """A value that changes with the step, counted from 0.

    - ``constant``: ``start`` throughout.
    - ``exponential``: ``start`` times ``factor`` once every ``every`` steps (DepthG's schedules).
    - ``linear``: evenly from ``start`` to ``start * factor`` over ``every`` steps, then constant.

    Attributes:
        start: the value at step 0.
        kind: which of the forms.
        factor: greater than 0.
        every: steps, at least 1.
        minimum: the value never goes below; none if not given.
        early: an exponential schedule changes at step 0 already, as in DepthG's released code: its
            published ViT-S samples 11 x 11 locations on paper and 9 x 9 in the released code.

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
        """Return the value as a number of things, rounded down as in DepthG's code, at least 1."""
        # A little more than the value: 0.7 x 0.7 x 100 is 48.999... in floating point.
        return max(math.floor(self.at(step) + 1e-9), 1)


def depth_schedules(settings: FitSettings, *, shift: float = 0.0) -> dict[str, Schedule]:
    """Return how weight and shift of the depth term and the samples per side change."""
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
