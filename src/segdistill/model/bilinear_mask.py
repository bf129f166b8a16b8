"""The best class of each pixel, from class scores on a grid, without the scores of all pixels.

Between four neighbouring locations of the grid bilinear scores are mixtures of theirs. A class that
is beaten at all four by one and the same other class is nowhere the best between them, so only the
others need to be enlarged: mostly one class, for which there is nothing to compute, and seldom more
than a few of many.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Scores = NDArray[np.float32]


MAX_VALUES = 2**20
"""Bounds what is worked on at once, in values; small enough for a processor's caches."""


class _PixelAxis(NamedTuple):
    """How the pixels of per side lie in the gaps between the locations of a grid.

    Gaps are of unequal width, and are worked on as if all were as wide as the widest.

    Attributes:
        share: fraction of the way from the previous location to the next, per pixel of each gap,
            shape (gaps, width of the widest), from 0 to 1; beyond the end of a gap anything.
        pixels: which of those, counted through, are the pixels of the side, shape (pixels,).
    """

    share: NDArray[np.float32]
    pixels: NDArray[np.intp]


def bilinear_mask(scores: torch.Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the best class of each pixel, without the scores of all pixels.

    Args:
        scores: on a grid, shape (1, classes, h, w).
        size: height and width of the mask, in pixels.

    Returns:
        Class indices of shape ``size``.
    """
    return enlarged_argmax(scores[0].float().numpy(), size)


def enlarged_argmax(scores: Scores, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the class whose score, enlarged bilinearly to pixels, is the largest.

    Equal to enlarging all scores and taking the class of the largest, but for rounding where two
    classes tie.

    Args:
        scores: on a grid, shape (classes, h, w), at most 256 classes.
        size: height and width of the image, in pixels.

    Returns:
        Class indices of shape ``size``.

    Example:
        >>> scores = np.array([[[0, 1]], [[1, 0]]], np.float32)
        >>> enlarged_argmax(scores, (1, 4)).tolist()
        [[1, 1, 0, 0]]
    """
    # Beyond the outermost locations scores stay unchanged there.
    grid = np.pad(scores, ((0, 0), (1, 1), (1, 1)), mode="edge")  # (c, h, w) -> (c, h+2, w+2)
    rows, columns = _pixel_axis(size[0], scores.shape[1]), _pixel_axis(size[1], scores.shape[2])
    winners = grid.argmax(axis=0).astype(np.uint8)
    first = winners[:-1, :-1]
    # The class of a gap's first corner: right wherever all four corners agree.
    shape = (len(rows.share), rows.share.shape[1], len(columns.share), columns.share.shape[1])
    canvas = np.empty(shape, np.uint8)
    canvas[:] = first[:, None, :, None]
    mixed = (first != winners[1:, :-1]) | (first != winners[:-1, 1:]) | (first != winners[1:, 1:])
    gaps = np.argwhere(mixed)
    at_once = max(1, MAX_VALUES // max(shape[1] * shape[3], 4 * len(scores)))
    for start in range(0, len(gaps), at_once):
        above, left = gaps[start : start + at_once].T
        corners = grid[:, [[above, above], [above + 1, above + 1]], [[left, left + 1]] * 2]
        best = _best_in_gaps(corners, rows.share[above], columns.share[left])
        canvas[above, :, left, :] = best
    flat = canvas.reshape(shape[0] * shape[1], shape[2] * shape[3])
    return flat.take(rows.pixels, axis=0).take(columns.pixels, axis=1)


def possible_classes(corners: Scores) -> NDArray[np.bool_]:
    """Return which classes can be the best somewhere between four locations.

    Args:
        corners: scores at the locations, shape (gaps, 4, classes).

    Returns:
        Boolean array of shape (gaps, classes): no class that is the best at one of the locations
            beats these at all four.

    Example:
        >>> corners = np.array([[[3, 1, 2], [1, 3, 2], [3, 1, 0], [1, 3, 0]]], np.float32)
        >>> possible_classes(corners).tolist()
        [[True, True, True]]
        >>> possible_classes(corners - np.array([0, 0, 2], np.float32)).tolist()
        [[True, True, False]]
    """
    possible = np.ones((len(corners), corners.shape[2]), np.bool_)
    # Only with classes that are the best at one of the locations: it does no harm to keep one more.
    for rival in corners.argmax(axis=2).T:  # (gaps, 4) -> a class of each gap, four times
        best = np.take_along_axis(corners, rival[:, None, None], axis=2)
        possible &= ~(corners < best).all(axis=1)  # (gaps, 4, classes) -> (gaps, classes)
    return possible


def _pixel_axis(pixels: int, locations: int) -> _PixelAxis:
    position = (np.arange(pixels) + 0.5) * (locations / pixels) - 0.5
    before = np.floor(position).astype(np.intp)  # -1 before the first location
    starts = np.searchsorted(before, np.arange(-1, locations + 1))
    widest = int(np.diff(starts).max())
    inside = np.arange(pixels) - starts[before + 1]
    share = np.zeros((locations + 1, widest), np.float32)
    share[before + 1, inside] = position - before
    return _PixelAxis(share, (before + 1) * widest + inside)


def _best_in_gaps(
    corners: Scores, down: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return the best class of each pixel of some gaps.

    Args:
        corners: scores above and below, left and right, shape (classes, 2, 2, gaps).
        down: share of each row's way from above to below, shape (gaps, rows).
        right: share of each column's way from left to right, shape (gaps, columns).

    Returns:
        Class indices of shape (gaps, rows, columns).
    """
    possible = possible_classes(corners.reshape(len(corners), 4, -1).transpose(2, 1, 0))
    counts = possible.sum(axis=1)
    # Gaps with most classes first: those that need one class more are then the beginning.
    order = np.argsort(-counts, kind="stable")
    # Possible classes first, in their own order.
    classes = np.argsort(~possible[order], axis=1, kind="stable")
    best = np.full((len(order), down.shape[1], right.shape[1]), -np.inf, np.float32)
    winner = np.zeros(best.shape, np.uint8)
    for turn in range(int(counts.max())):
        gaps = order[: np.count_nonzero(counts > turn)]
        own = classes[: len(gaps), turn]
        values = corners[own, :, :, gaps, None]  # (gaps, 2, 2, 1)
        level = values[:, :, 0] + (values[:, :, 1] - values[:, :, 0]) * right[gaps, None]
        above, below = level[:, :1], level[:, 1:]  # (gaps, 2, columns) -> (gaps, 1, columns) each
        scores = above + (below - above) * down[gaps, :, None]
        better = scores > best[: len(gaps)]
        np.copyto(best[: len(gaps)], scores, where=better)
        np.copyto(winner[: len(gaps)], own[:, None, None].astype(np.uint8), where=better)
    unordered = np.empty_like(winner)
    unordered[order] = winner
    return unordered
