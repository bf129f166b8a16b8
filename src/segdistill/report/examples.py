"""Which images a report shows, how large each class is in them, and what it looks like."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segdistill.images.decode import UnreadableImageError
from segdistill.images.folder import ImageFile
from segdistill.images.resize import resize_image
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import cleaned_mask
from segdistill.progress import progress_bar

logger = logging.getLogger("segdistill")

LONGEST_SIDE = 640
"""Longer side, in pixels, to which images are reduced for the page."""

APPEARS_SHARE = 0.01
"""Share of an image's pixels from which a class counts as appearing in it."""

EXAMPLES = 4

WINDOW_SIDES = (0.5, 0.8, 1.2)
"""Sides of the windows tried, as multiples of the side of a square as large as the class."""

SMALLEST_WINDOW = 64

SURROUNDINGS = 1.6
"""How much larger than the chosen window the part shown is, to see where the class ends."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Sample:
    """An image of the report, reduced, with its mask.

    Attributes:
        file: where it lies.
        image: shape (height, width, 3), the longer side at most :data:`LONGEST_SIDE`.
        mask: class indices, shape (height, width).
    """

    file: ImageFile
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Window:
    """A part of a sample that shows a class well.

    Attributes:
        sample: index of the sample.
        rows: of the part.
        columns: of the part.
        score: larger where the class is larger and purer.
    """

    sample: int
    rows: slice
    columns: slice
    score: float


def evenly_spread(items: Sequence[Item], count: int) -> list[Item]:
    """Take items at even distances, the first and the last among them.

    Example:
        >>> evenly_spread("abcdefghi", 3)
        ['a', 'e', 'i']
    """
    if count >= len(items):
        return list(items)
    if count < 2:
        return list(items[:count])
    last = len(items) - 1
    return [items[number * last // (count - 1)] for number in range(count)]


def reduced_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return height and width with the longer side at most ``longest``, each at least 1.

    Example:
        >>> reduced_size(480, 1280, 640), reduced_size(1, 5000, 640), reduced_size(30, 40, 640)
        ((240, 640), (1, 640), (30, 40))
    """
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def segment_samples(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    longest: int = LONGEST_SIDE,
    label: str = "Writing the report",
    progress: bool = False,
) -> list[Sample]:
    """Segment images and keep them at a size that suits what they are for.

    An image that cannot be read, such as one that has gone since the fit began, is left out with a
    warning: it should not cost the run its report.

    Args:
        segmenter: on its device.
        files: to segment.
        longest: longer side, in pixels, to which images are reduced.
        label: of the progress bar.
        progress: show a progress bar.

    Returns:
        One sample for each image that could be read, in the order given.
    """
    samples = []
    with progress_bar(label, len(files), shown=progress) as advance:
        for file in files:
            try:
                image = segmenter.read(file.path)
            except UnreadableImageError as error:
                logger.warning("left out: %s", error)
            else:
                size = reduced_size(image.shape[0], image.shape[1], longest)
                reduced = resize_image(image, size)
                mask = cleaned_mask(segmenter.grid_scores(image), reduced)
                samples.append(Sample(file, reduced, mask))
            advance(1)
    return samples


def class_pixels(masks: Sequence[NDArray[np.uint8]], classes: int) -> NDArray[np.int64]:
    """Count the pixels of each class in each mask.

    Args:
        masks: class indices, of any shapes.
        classes: number of classes.

    Returns:
        Array of shape (masks, classes).

    Example:
        >>> class_pixels([np.array([[0, 2, 2]], np.uint8)], 3).tolist()
        [[1, 0, 2]]
    """
    counts = np.zeros((len(masks), classes), np.int64)
    for number, mask in enumerate(masks):
        counts[number] = np.bincount(mask.ravel(), minlength=classes)
    return counts


def shares_of(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each class's share along the last axis; zeros where there is no pixel.

    Example:
        >>> shares_of(np.array([[1, 3], [0, 0]])).tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    total = pixels.sum(axis=-1, keepdims=True)
    shares: NDArray[np.float64] = pixels / np.maximum(total, 1)
    return shares


def best_window(sums: NDArray[np.int64], side: int) -> tuple[slice, slice]:
    """Return the square that holds the most of what is present.

    Args:
        sums: see :func:`sums_from_corner`.
        side: of the square, in pixels; cut to the image where that is smaller.

    Returns:
        Rows and columns of the square.

    Example:
        >>> picture = np.zeros((6, 8), bool)
        >>> picture[3:6, 5:8] = True
        >>> best_window(sums_from_corner(picture), 3)
        (slice(3, 6, None), slice(5, 8, None))
    """
    height, width = min(side, sums.shape[0] - 1), min(side, sums.shape[1] - 1)
    inside = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )
    # Several squares may be as good; the middle one lies inside the segment, not at its rim.
    best = np.flatnonzero(inside == inside.max())
    top, left = divmod(int(best[len(best) // 2]), inside.shape[1])
    return slice(top, top + height), slice(left, left + width)


def sums_from_corner(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count what is present above and left of every corner of a pixel.

    Args:
        present: shape (height, width).

    Returns:
        Array of shape (height + 1, width + 1); differences give the count in any rectangle.
    """
    counts = present.astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    return np.pad(counts, ((1, 0), (1, 0)))


def widened(part: slice, size: int, length: int) -> slice:
    """Grow a part of an axis on both sides, moved inwards where it would stick out.

    Args:
        part: of the axis.
        size: wanted; a part that is larger stays unchanged.
        length: of the axis, at least ``size``.

    Example:
        >>> widened(slice(40, 50), 16, 100), widened(slice(0, 10), 16, 100)
        (slice(37, 53, None), slice(0, 16, None))
    """
    size = max(size, part.stop - part.start)
    start = part.start - (size - (part.stop - part.start)) // 2
    start = min(max(start, 0), length - size)
    return slice(start, start + size)


def windows_in_mask(
    mask: NDArray[np.uint8], index: int, *, sample: int, count: int
) -> list[Window]:
    """Return up to ``count`` windows that do not show the same part of a class.

    Args:
        mask: class indices, shape (height, width).
        index: of the class.
        sample: number of the sample that the mask belongs to.
        count: windows wanted.
    """
    present = mask == index
    windows: list[Window] = []
    while len(windows) < count and present.any():
        sums = sums_from_corner(present)
        side_of_class = math.sqrt(int(sums[-1, -1]))
        sides = {
            max(SMALLEST_WINDOW, min(round(scale * side_of_class), *mask.shape))
            for scale in WINDOW_SIDES
        }
        tried = []
        for side in sorted(sides):
            rows, columns = best_window(sums, side)
            held = present[rows, columns]
            # Purity counts more than size: a pure part says better what the class is.
            score = float(held.mean()) ** 2 * math.sqrt(held.sum() / mask.size)
            tried.append((score, rows, columns))
        score, rows, columns = max(tried, key=lambda each: each[0])
        present[rows, columns] = False
        side = min(round((rows.stop - rows.start) * SURROUNDINGS), *mask.shape)
        height, width = mask.shape
        windows.append(
            Window(sample, widened(rows, side, height), widened(columns, side, width), score)
        )
    return windows


def choose_examples(
    masks: Sequence[NDArray[np.uint8]],
    pixels: NDArray[np.int64],
    index: int,
    *,
    count: int = EXAMPLES,
) -> list[Window]:
    """Choose where a class is shown best: large, pure, and from different images if possible.

    Args:
        masks: class indices of each sample.
        pixels: of each class in each sample, shape (samples, classes).
        index: of the class.
        count: windows wanted.

    Returns:
        The windows, the best first; fewer where there is less of the class.
    """
    holders = [sample for sample in range(len(masks)) if pixels[sample, index]]
    each = -(-count // max(len(holders), 1))
    rounds: list[list[Window]] = [[] for _ in range(each)]
    for sample in holders:
        found = windows_in_mask(masks[sample], index, sample=sample, count=each)
        for number, window in enumerate(found):
            rounds[number].append(window)
    # A second window of an image comes only after the first ones of all images.
    ranked = [
        window for windows in rounds for window in sorted(windows, key=lambda window: -window.score)
    ]
    return ranked[:count]
