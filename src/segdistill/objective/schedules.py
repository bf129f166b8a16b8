"""DepthG's schedules: weight and shift of the depth term, and the number of samples, by step.

Steps are counted from 0. The released code already changes the values at step 0: the published
ViT-S samples 11 x 11 locations in the paper, but 9 x 9 in the code.
"""

import math

from segdistill.config.settings import FitSettings


def depth_weight(settings: FitSettings, step: int) -> float:
    """Return the weight of the depth term at a step."""
    depth = settings.depth
    return _product(depth.weight, depth.weight_factor, _periods(settings, depth.weight_every, step))


def depth_shift_at(settings: FitSettings, shift: float, step: int) -> float:
    """Return the shift of the depth term at a step, given that of the settings or the images."""
    depth = settings.depth
    return _product(shift, depth.shift_factor, _periods(settings, depth.shift_every, step))


def samples_per_side(settings: FitSettings, step: int) -> int:
    """Return the number of locations per side at a step, rounded down as in DepthG's code.

    Example:
        >>> from segdistill.config.settings import DepthSettings
        >>> settings = FitSettings(depth=DepthSettings(samples_factor=0.9, samples_every=1000))
        >>> [samples_per_side(settings, step) for step in (0, 999, 1000)]
        [11, 11, 9]
    """
    depth, start = settings.depth, settings.objective.samples
    periods = _periods(settings, depth.samples_every, step)
    value = _product(start, depth.samples_factor, periods)
    # The margin absorbs rounding errors: 0.7 x 0.7 x 100 is 48.999... in floating point.
    return max(math.floor(value + 1e-9), min(depth.samples_minimum, start))


def _periods(settings: FitSettings, every: int, step: int) -> int:
    """Return how many times a value has changed by a step."""
    return step // every + settings.depth.as_released


def _product(start: float, factor: float, periods: int) -> float:
    return start * float(factor**periods)
