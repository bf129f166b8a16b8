"""The best class of each pixel after the guided filter, without the scores of all pixels.

Only classes that are the best in one of the cells around a pixel are considered. For half of the
pixels or more that is one, and nothing has to be computed; others win seldom, and in specks.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.model.guided_filter import AVERAGING, NOISE, RADIUS, guided_functions

AROUND = 2
"""How many cells are considered on each side of a gap between the middles of cells."""

MAX_VALUES = 2**17
"""Bound on the pixels that are worked on at once; small enough for a processor's caches."""


class PixelAxis(NamedTuple):
    """How the pixels of per side lie in the gaps between the middles of cells.

    Gaps may differ by a pixel, and are worked on as if all were as wide as the widest.

    Attributes:
        pixels: of each gap, shape (gaps, width of the widest); beyond its end anything.
        share: of the way across the gap, from 0 to 1, the same shape.
        positions: where in these tables, counted through, the pixels of the side stand.
    """

    pixels: torch.Tensor
    share: torch.Tensor
    positions: torch.Tensor

    @classmethod
    def of(cls, pixels: int, cells: int, gaps: slice | None = None) -> "PixelAxis":
        """Return how pixels lie, all of them or, counted from 0, those of some gaps alone.

        Args:
            pixels: number of them along the side.
            cells: number of them along the side.
            gaps: from 0, before the middle of the first cell, to ``cells``, after the last; at
                least one pixel lies in them.
        """
        gap, share = gaps_of(pixels, cells)
        if gaps is not None:
            inside = (gap >= gaps.start) & (gap < gaps.stop)
            gap, share = gap[inside] - gaps.start, share[inside]
        count = cells + 1 if gaps is None else gaps.stop - gaps.start
        counts = torch.bincount(gap, minlength=count)
        starts = counts.cumsum(0) - counts
        widest = int(counts.max())
        table = (starts[:, None] + torch.arange(widest)).clamp(max=len(gap) - 1)
        positions = gap * widest + torch.arange(len(gap)) - starts[gap]
        return cls(table, share[table], positions)


def gaps_of(pixels: int, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gap between the middles of cells in which each pixel of per side lies.

    Args:
        pixels: number of them along the side.
        cells: number of them along the side.

    Returns:
        Gaps, from 0, before the middle of the first cell, to ``cells``, and the share of the way
        across, from 0 to 1: both of shape (pixels,).

    Example:
        >>> gaps, share = gaps_of(4, 2)
        >>> gaps.tolist(), share.tolist()
        ([0, 1, 1, 2], [0.75, 0.25, 0.75, 0.25])
    """
    way = (torch.arange(pixels) + 0.5) * (cells / pixels) + 0.5
    gap = way.long()
    return gap, way - gap


def guided_mask(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    radius: int = RADIUS,
    averaging: int = AVERAGING,
    noise: float = NOISE,
) -> NDArray[np.uint8]:
    """Return the best class of each pixel, along the edges of the image.

    The mask is that of the scores that :func:`segdistill.model.guided_filter.guided_bands`
    gives, but for classes that are the best in none of the 16 cells around a pixel: they are left
    out there.

    Args:
        scores: on a grid, shape (1, classes, h, w), float32, at most 256 classes.
        image: that the grid covers, shape (height, width, 3).
        radius: of the filter, as are the following.
        averaging: see there.
        noise: see there.

    Returns:
        Class indices of shape (height, width).

    Example:
        >>> image = np.zeros((1, 8, 3), np.uint8)
        >>> image[:, 3:] = 200
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).view(1, 2, 1, 2)
        >>> guided_mask(scores, image).tolist()
        [[0, 0, 0, 1, 1, 1, 1, 1]]
    """
    scores = scores.cpu()
    functions = guided_functions(scores, image, radius=radius, averaging=averaging, noise=noise)
    # Beyond the middles of the outermost cells functions stay unchanged there.
    grid = F.pad(functions, (1, 1, 1, 1), mode="replicate")  # (4, classes, h + 2, w + 2)
    return best_of_functions(
        grid,
        possible_classes(scores[0]),
        image,
        PixelAxis.of(image.shape[0], scores.shape[2]),
        PixelAxis.of(image.shape[1], scores.shape[3]),
    )


def best_of_functions(
    grid: torch.Tensor,
    possible: torch.Tensor,
    image: NDArray[np.uint8],
    rows: PixelAxis,
    columns: PixelAxis,
) -> NDArray[np.uint8]:
    """Return the best class of each pixel, from the functions that hold in cells.

    Args:
        grid: slopes and constants of the classes in the cells before and after each gap, shape
            (4, classes, gaps + 1, gaps + 1).
        possible: classes that are considered, shape (classes, gaps, gaps).
        image: shape (height, width, 3).
        rows: of the image, in the gaps from top to bottom.
        columns: of the image, in the gaps from left to right.

    Returns:
        Class indices of shape (height, width).
    """
    canvas = (
        possible.byte()
        .argmax(dim=0)
        .byte()[:, None, :, None]
        .repeat(1, rows.pixels.shape[1], 1, columns.pixels.shape[1])
    )
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
    for above, left in _mixed_gaps(possible, rows.pixels.shape[1] * columns.pixels.shape[1]):
        y, x = rows.pixels[above, :, None], columns.pixels[left, None]
        colours = pixels[y, x].permute(3, 0, 1, 2).contiguous() / 255  # (3, gaps, rows, columns)
        corners = [grid[:, :, above + down, left + right] for down in (0, 1) for right in (0, 1)]
        canvas[above, :, left] = _best_in_gaps(
            torch.stack(corners),
            possible[:, above, left],
            colours,
            rows.share[above],
            columns.share[left],
        )
    mask = canvas.flatten(2).flatten(0, 1)
    return mask[rows.positions][:, columns.positions].numpy()


def possible_classes(scores: torch.Tensor) -> torch.Tensor:
    """Return which classes are the best in a cell around each gap.

    Args:
        scores: shape (classes, h, w).

    Returns:
        Boolean tensor of shape (classes, h + 1, w + 1), of the gaps between the middles of cells
        and those at the border.

    Example:
        >>> scores = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]).view(2, 1, 4)
        >>> possible_classes(scores)[1].int().tolist()
        [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]
    """
    best = F.one_hot(scores.argmax(dim=0), len(scores)).permute(2, 0, 1)  # (classes, h, w)
    padded = F.pad(best.float(), (AROUND,) * 4)
    return F.max_pool2d(padded, 2 * AROUND, stride=1) > 0


def _mixed_gaps(possible: torch.Tensor, pixels: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield rows and columns of gaps with more than one possible class, those with most first."""
    counts = possible.sum(dim=0).flatten()
    order = counts.argsort(descending=True, stable=True)[: int((counts > 1).sum())]
    at_once = max(1, MAX_VALUES // pixels)
    for start in range(0, len(order), at_once):
        some = order[start : start + at_once]
        yield some // possible.shape[2], some % possible.shape[2]


def _best_in_gaps(
    corners: torch.Tensor,
    possible: torch.Tensor,
    colours: torch.Tensor,
    down: torch.Tensor,
    right: torch.Tensor,
) -> torch.Tensor:
    """Return the best class of each pixel of some gaps.

    Args:
        corners: slopes and constants of the classes in the four cells of each gap, above before
            below and left before right, shape (4, 4, classes, gaps).
        possible: classes that are considered, shape (classes, gaps), most in the first gaps.
        colours: of the pixels, shape (3, gaps, rows, columns).
        down: share of each row's way from above to below, shape (gaps, rows).
        right: share of each column's way from left to right, shape (gaps, columns).

    Returns:
        Class indices of shape (gaps, rows, columns).
    """
    counts = possible.sum(dim=0)
    # Possible classes first, in their own order.
    classes = possible.byte().argsort(dim=0, descending=True, stable=True)
    best = torch.full(colours.shape[1:], -torch.inf)
    winner = torch.zeros(best.shape, dtype=torch.uint8)
    for turn in range(int(counts[0])):
        gaps = int((counts > turn).sum())
        own = classes[turn, :gaps]
        above_left, above_right, below_left, below_right = corners[
            :, :, own, torch.arange(gaps), None
        ]  # of shape (4, gaps, 1)
        left_edge = torch.lerp(above_left, below_left, down[:gaps])  # (4, gaps, rows)
        right_edge = torch.lerp(above_right, below_right, down[:gaps])
        across = right[:gaps, None]  # (gaps, 1, columns)
        *slopes, score = torch.lerp(left_edge[..., None], right_edge[..., None], across)
        for slope, colour in zip(slopes, colours[:, :gaps], strict=True):
            score.addcmul_(slope, colour)
        better = score > best[:gaps]
        best[:gaps] = torch.where(better, score, best[:gaps])
        winner[:gaps] = torch.where(better, own[:, None, None].byte(), winner[:gaps])
    return winner
