"""Selection and rendering of example images of a class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from segdistill.images.resize import resize_image
from segdistill.inference.samples import Sample

EXAMPLES = 4

WINDOW_SIDES = (0.5, 0.8, 1.2)
"""Sides of candidate windows, relative to the side of a square with the area of the class."""

SMALLEST_WINDOW = 64

SURROUNDINGS = 1.6
"""Enlargement of the chosen window, to show the surroundings of the class."""

EXAMPLE_SIDE = 176
DIMMED = 0.35


@dataclass(frozen=True)
class Window:
    """A window of a sample that shows a class well.

    Attributes:
        sample: index of the sample.
        rows: rows of the window.
        columns: columns of the window.
        score: score that increases with the size and purity of the class.
    """

    sample: int
    rows: slice
    columns: slice
    score: float


def choose_examples(
    masks: Sequence[NDArray[np.uint8]],
    pixels: NDArray[np.int64],
    index: int,
    *,
    count: int = EXAMPLES,
) -> list[Window]:
    """Choose the windows that show a class best, from different images if possible.

    Args:
        masks: class indices of each sample, each of shape (height, width).
        pixels: number of pixels of each class in each sample, shape (samples, classes).

    Returns:
        The windows, best first; fewer than ``count`` if the class is rare.
    """
    holders = [sample for sample in range(len(masks)) if pixels[sample, index]]
    each = -(-count // max(len(holders), 1))
    ranked = [
        (number, -window.score, window)
        for sample in holders
        for number, window in enumerate(
            windows_in_mask(masks[sample], index, sample=sample, count=each)
        )
    ]
    # Second windows of images come after the first windows of all images.
    ranked.sort(key=lambda item: item[:2])
    return [window for _, _, window in ranked[:count]]


def windows_in_mask(
    mask: NDArray[np.uint8], index: int, *, sample: int, count: int
) -> list[Window]:
    """Return up to ``count`` windows that show different parts of a class.

    Args:
        mask: class indices, shape (height, width).
        sample: index of the sample of the mask.
    """
    height, width = mask.shape
    present = mask == index
    windows: list[Window] = []
    while len(windows) < count and present.any():
        sums = integral_image(present)
        side_of_class = math.sqrt(int(sums[-1, -1]))
        sides = {
            max(SMALLEST_WINDOW, min(round(scale * side_of_class), height, width))
            for scale in WINDOW_SIDES
        }
        candidates = []
        for side in sorted(sides):
            rows, columns = best_window(sums, side)
            held = present[rows, columns]
            # Purity counts more than size: a pure window is a better example.
            score = float(held.mean()) ** 2 * math.sqrt(held.sum() / mask.size)
            candidates.append((score, rows, columns))
        score, rows, columns = max(candidates, key=lambda each: each[0])
        present[rows, columns] = False
        side = min(round((rows.stop - rows.start) * SURROUNDINGS), height, width)
        windows.append(
            Window(sample, widened(rows, side, height), widened(columns, side, width), score)
        )
    return windows


def integral_image(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the pixels above and to the left of every pixel corner.

    Args:
        present: pixels of a class, shape (height, width).

    Returns:
        Array of shape (height + 1, width + 1), whose differences are the counts in rectangles.
    """
    counts = present.astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    return np.pad(counts, ((1, 0), (1, 0)))


def best_window(sums: NDArray[np.int64], side: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square with the most pixels of a class.

    Args:
        sums: result of :func:`integral_image`.
        side: side of the square in pixels, clipped to the image.

    Example:
        >>> picture = np.zeros((6, 8), bool)
        >>> picture[3:6, 5:8] = True
        >>> best_window(integral_image(picture), 3)
        (slice(3, 6, None), slice(5, 8, None))
    """
    height, width = min(side, sums.shape[0] - 1), min(side, sums.shape[1] - 1)
    inside = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )
    # Of equally good squares, the middle one is inside the segment rather than at its edge.
    best = np.flatnonzero(inside == inside.max())
    top, left = divmod(int(best[len(best) // 2]), inside.shape[1])
    return slice(top, top + height), slice(left, left + width)


def widened(part: slice, size: int, length: int) -> slice:
    """Grow a slice on both sides, shifted to stay within its axis.

    Args:
        size: new size; a larger slice is not changed.
        length: length of the axis, at least ``size``.

    Example:
        >>> widened(slice(40, 50), 16, 100), widened(slice(0, 10), 16, 100)
        (slice(37, 53, None), slice(0, 16, None))
    """
    size = max(size, part.stop - part.start)
    start = part.start - (size - (part.stop - part.start)) // 2
    start = min(max(start, 0), length - size)
    return slice(start, start + size)


def example_picture(sample: Sample, window: Window, index: int) -> NDArray[np.uint8]:
    """Crop a window, with a thin outline around the class and everything else in dark grey.

    Returns:
        Image of shape (height, width, 3), whose longer side is :data:`EXAMPLE_SIDE` pixels.
    """
    part = sample.image[window.rows, window.columns]
    belongs = sample.mask[window.rows, window.columns] == index
    scale = EXAMPLE_SIDE / max(belongs.shape)
    height, width = (max(1, round(side * scale)) for side in belongs.shape)
    picture = resize_image(part, (height, width)).astype(np.float32)
    flags = Image.fromarray(belongs.astype(np.uint8) * 255)
    shown = np.asarray(flags.resize((width, height), Image.Resampling.BILINEAR)) >= 128
    grey = picture.mean(axis=2, keepdims=True) * DIMMED
    picture = np.where(shown[:, :, None], picture, grey)
    # border_value: the border of the window is not an edge of the class.
    inner = ndimage.binary_erosion(shown, border_value=1)
    picture[shown & ~inner] = 255
    return np.round(picture).astype(np.uint8)
