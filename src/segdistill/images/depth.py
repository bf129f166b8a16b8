"""Reading depth maps, and the meaning of their values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.depth_reading import DepthFormat, read_depth_values

DepthKind = Literal["depth", "inverse", "height"]
DepthNormalisation = Literal["min-max", "metric"]

# Differences below this share of the values are rounding.
CONSTANT_SPREAD = 1e-6
SIZE_TOLERANCE = 0.1

CONSTANT_DEPTH = 0.5
"""Depth in 0..1 of a constant map, which holds no information; the middle favours neither end."""


@dataclass(frozen=True)
class DepthSettings:
    """Meaning of the values of depth maps, and how they are normalised.

    Attributes:
        kind: ``depth``: larger is farther; ``inverse``: larger is nearer, as in disparity and the
            output of relative depth networks; ``height``: larger is higher, seen from above.
        normalisation: ``min-max`` scales each map to 0 (nearest) to 1 (farthest), as DepthG does;
            ``metric`` keeps its unit.
        scale: for ``metric``: units per step of the stored values (for ``inverse``: depth is
            scale divided by value), above 0.
        max_depth: for ``metric``: larger depths are clipped to this, in units. Required for
            ``height``: the height of the camera, from which depth is measured.
        invalid: stored values that mean 'not measured', such as 0 in maps of most sensors. NaN
            and infinity always mean it, as do negative numbers except in height maps.
        format: how a pixel holds its value; see :data:`DepthFormat`.
        channel: array of .npz files, or channel of .exr files, that holds the values.

    Raises:
        UserError: a number is out of range, or the camera height is missing.
    """

    kind: DepthKind = "depth"
    normalisation: DepthNormalisation = "min-max"
    scale: float = 1.0
    max_depth: float | None = None
    invalid: tuple[float, ...] = ()
    format: DepthFormat = "numbers"
    channel: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise UserError(f"depth scale {self.scale}: must be above 0")
        if self.max_depth is not None and not 0 < self.max_depth < float("inf"):
            raise UserError(f"depth maximum {self.max_depth}: must be above 0")
        if self.kind == "height" and self.normalisation == "metric" and self.max_depth is None:
            raise UserError(
                "height maps need the camera height for metric depth; give it as the maximum"
                " depth, or choose min-max"
            )


def read_depth(path: Path, settings: DepthSettings | None = None) -> NDArray[np.float32]:
    """Read a depth map: larger is farther, NaN where unknown.

    Args:
        path: a file; see :func:`~segdistill.images.depth_reading.read_depth_values`.
        settings: meaning of the values; by default larger is farther.

    Returns:
        Array of shape (height, width); the size may differ from the image's.

    Raises:
        UnreadableDepthError: the file is missing, damaged or not a depth map.
    """
    settings = settings or DepthSettings()
    values = read_depth_values(path, settings.format, settings.channel)
    return depth_from_values(values, settings)


def depth_from_values(values: NDArray[np.generic], settings: DepthSettings) -> NDArray[np.float32]:
    """Convert stored values (height, width) to depth: larger is farther, NaN where unknown.

    Example:
        >>> disparity = np.array([[0, 2], [4, 6]])
        >>> depth_from_values(disparity, DepthSettings("inverse", invalid=(0,))).tolist()
        [[nan, 1.0], [0.5, 0.0]]
        >>> metres = DepthSettings("inverse", "metric", scale=12, max_depth=100)
        >>> depth_from_values(disparity, metres).tolist()
        [[100.0, 6.0], [3.0, 2.0]]
    """
    numbers = values.astype(np.float64)
    numbers[~known_values(numbers, settings)] = np.nan
    if settings.normalisation == "metric":
        return _metric_depth(numbers, settings).astype(np.float32)
    # A relative network gives inverse depth up to a shift, so its reciprocal is meaningless.
    return normalise_depth(numbers if settings.kind == "depth" else -numbers)


def known_values(values: NDArray[np.float64], settings: DepthSettings) -> NDArray[np.bool_]:
    """Return which stored values are measured."""
    known: NDArray[np.bool_] = np.isfinite(values)
    if settings.kind != "height":
        known &= values >= 0
    for invalid in settings.invalid:
        # Equal numbers differ at most by rounding to float32.
        known &= ~np.isclose(values, invalid, rtol=1e-7, atol=0)
    return known


def normalise_depth(depth: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale a depth map to 0 (its minimum) to 1 (its maximum), as DepthG does.

    NaN and infinity count as unknown and become NaN. A constant map becomes
    :data:`CONSTANT_DEPTH` throughout.

    Example:
        >>> normalise_depth(np.array([[3.0, np.nan, 5.0, 4.0]])).tolist()
        [[0.0, nan, 1.0, 0.5]]
    """
    numbers = depth.astype(np.float64)
    known = np.isfinite(numbers)
    result = np.full(numbers.shape, np.nan, np.float32)
    if not known.any():
        return result
    low, high = numbers[known].min(), numbers[known].max()
    if high - low <= CONSTANT_SPREAD * max(abs(low), abs(high)):
        result[known] = CONSTANT_DEPTH
    else:
        result[known] = (numbers[known] - low) / (high - low)
    return result


def check_depth_size(path: Path, depth: tuple[int, int], image: tuple[int, int]) -> None:
    """Check that a depth map and its image have the same aspect ratio.

    Args:
        path: path of the depth map, for the message.
        depth: height and width of the depth map.
        image: height and width of the upright image.

    Raises:
        UserError: the aspect ratios differ by more than a tenth.
    """
    ratio = (depth[1] / depth[0]) / (image[1] / image[0])
    if not 1 - SIZE_TOLERANCE <= ratio <= 1 / (1 - SIZE_TOLERANCE):
        raise UserError(
            f"{path}: {depth[1]} x {depth[0]} pixels, but its image has {image[1]} x {image[0]};"
            " a depth map must show the whole upright image"
        )


def _metric_depth(values: NDArray[np.float64], settings: DepthSettings) -> NDArray[np.float64]:
    limit = np.inf if settings.max_depth is None else settings.max_depth
    if settings.kind == "depth":
        depth = values * settings.scale
    elif settings.kind == "inverse":
        with np.errstate(divide="ignore"):
            depth = settings.scale / values
    else:
        depth = limit - values * settings.scale
    depth = depth.clip(0, limit)  # NaN stays
    depth[np.isinf(depth)] = np.nan
    return depth
