"""Reading depth maps, and the meaning of their values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.images.decode import stored_values, upright

DepthKind = Literal["depth", "inverse", "height"]
DepthNormalisation = Literal["min-max", "metric"]

# Differences below this share of the values are rounding.
CONSTANT_SPREAD = 1e-6
SIZE_TOLERANCE = 0.1
GREY_MODES = frozenset(["L", "I", "F"])


class UnreadableDepthError(UserError):
    """A file that is named like a depth map but cannot be read as one."""


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

    Raises:
        UserError: a number is out of range, or the camera height is missing.
    """

    kind: DepthKind = "depth"
    normalisation: DepthNormalisation = "min-max"
    scale: float = 1.0
    max_depth: float | None = None
    invalid: tuple[float, ...] = ()

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
        path: an 8- or 16-bit PNG, a TIFF of integers or floats, or a ``.npy`` file.
        settings: meaning of the values; by default larger is farther.

    Returns:
        Array of shape (height, width); the size may differ from the image's.

    Raises:
        UnreadableDepthError: the file is missing, damaged or not a depth map.
    """
    return depth_from_values(read_depth_values(path), settings or DepthSettings())


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
    known = np.isfinite(numbers)
    if settings.kind != "height":
        known &= numbers >= 0
    for invalid in settings.invalid:
        # Equal numbers differ at most by rounding to float32.
        known &= ~np.isclose(numbers, invalid, rtol=1e-7, atol=0)
    numbers[~known] = np.nan
    if settings.normalisation == "metric":
        return _metric_depth(numbers, settings).astype(np.float32)
    # A relative network gives inverse depth up to a shift, so its reciprocal is meaningless.
    return normalise_depth(numbers if settings.kind == "depth" else -numbers)


def normalise_depth(depth: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale a depth map to 0 (its minimum) to 1 (its maximum), as DepthG does.

    NaN and infinity count as unknown and become NaN. A constant map becomes 0.5 throughout: it
    holds no information, and the middle favours neither end.

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
        result[known] = 0.5
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


def read_depth_values(path: Path) -> NDArray[np.float64]:
    """Read the stored values of a depth map, NaN where a GeoTIFF has no data.

    See :func:`read_depth` for the shape and errors.
    """
    try:
        values = _read_npy(path) if path.suffix.lower() == ".npy" else _read_picture(path)
    except FileNotFoundError as error:
        raise UnreadableDepthError(f"{path}: no such depth map") from error
    except (UnreadableDepthError, MemoryError):
        raise
    except Exception as error:
        # Pillow's and NumPy's readers raise many types of errors for damaged files.
        raise UnreadableDepthError(f"{path}: cannot be read as depth ({error})") from error
    if values.ndim != 2 or values.size == 0:
        raise UnreadableDepthError(
            f"{path}: a depth map has one value per pixel, but this has shape {values.shape}"
        )
    return values.astype(np.float64)


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


def _read_npy(path: Path) -> NDArray[np.generic]:
    # Memory-mapped: a damaged header can claim any size.
    values: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    if values.dtype.kind not in "iuf":
        raise UnreadableDepthError(f"{path}: must hold integers or floats, not {values.dtype}")
    # A channel axis is allowed: (1, height, width) or (height, width, 1).
    if values.ndim == 3 and 1 in {values.shape[0], values.shape[2]}:
        values = values[0] if values.shape[0] == 1 else values[:, :, 0]
    return np.array(values)


def _read_picture(path: Path) -> NDArray[np.generic]:
    with Image.open(path) as image:
        image.load()
        if image.mode in GREY_MODES or image.mode.startswith("I;16"):
            return stored_values(image)
        values = np.array(upright(image))
        if image.mode in {"RGB", "RGBA"} and (values[:, :, :3] == values[:, :, :1]).all():
            grey: NDArray[np.generic] = values[:, :, 0]
            return grey
        raise UnreadableDepthError(
            f"{path}: a colour image ({image.mode}); a depth map has one value per pixel"
        )
