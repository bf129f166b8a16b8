"""The best class of each pixel, without computing the scores of every pixel.

Between the centres of four neighbouring cells (a gap), scores are interpolated bilinearly. Few
classes can win in a gap. Usually only one can, and then nothing has to be computed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

AROUND = 2
"""Cells on each side of a gap whose best classes are candidates for the guided filter."""

MAX_VALUES = 2**17
"""Maximum number of pixels processed at once; small enough for the CPU's caches."""


CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column offsets of the four cells around a gap from the first of them."""


class PixelAxis(NamedTuple):
    """Assignment of the pixels along one side to the gaps between cell centres.

    Gaps may differ in width by a pixel; all are padded to the widest.

    Attributes:
        pixels: pixel indices of each gap, shape (gaps, widest gap); the padding is arbitrary.
        share: fraction of the way across the gap, from 0 to 1, the same shape.
        positions: flat index into these tables of each pixel along the side.
    """

    pixels: torch.Tensor
    share: torch.Tensor
    positions: torch.Tensor

    @classmethod
    def of(cls, pixels: int, cells: int, gaps: slice) -> "PixelAxis":
        """Return the axis for a range of gaps, with pixels numbered from the first one inside.

        Args:
            pixels: number of pixels along the side.
            cells: number of cells along the side.
            gaps: range of gaps, from 0, before the first cell's centre, to ``cells``, after the
                last; it must contain at least one pixel.
        """
        gap, share = gaps_of(pixels, cells)
        inside = (gap >= gaps.start) & (gap < gaps.stop)
        gap, share = gap[inside] - gaps.start, share[inside]
        counts = torch.bincount(gap, minlength=gaps.stop - gaps.start)
        starts = counts.cumsum(0) - counts
        widest = int(counts.max())
        table = (starts[:, None] + torch.arange(widest)).clamp(max=len(gap) - 1)
        positions = gap * widest + torch.arange(len(gap)) - starts[gap]
        return cls(table, share[table], positions)


def gaps_of(pixels: int, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gap between cell centres in which each pixel along one side lies.

    Returns:
        The gap, from 0, before the first cell's centre, to ``cells``, and the fraction of the way
        across it, from 0 to 1, both of shape (pixels,).

    Example:
        >>> gaps, share = gaps_of(4, 2)
        >>> gaps.tolist(), share.tolist()
        ([0, 1, 1, 2], [0.75, 0.25, 0.75, 0.25])
    """
    way = (torch.arange(pixels) + 0.5) * (cells / pixels) + 0.5
    gap = way.long()
    return gap, way - gap


def best_around(scores: torch.Tensor) -> torch.Tensor:
    """Return the classes that are best in at least one cell around each gap.

    Args:
        scores: class scores, shape (classes, h, w).

    Returns:
        Boolean tensor of shape (classes, h + 1, w + 1), for the gaps between cell centres and
        those at the border.

    Example:
        >>> scores = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]).view(2, 1, 4)
        >>> best_around(scores)[1].int().tolist()
        [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]
    """
    best = F.one_hot(scores.argmax(dim=0), len(scores)).permute(2, 0, 1)  # (classes, h, w)
    padded = F.pad(best.float(), (AROUND,) * 4)
    return F.max_pool2d(padded, 2 * AROUND, stride=1) > 0


def best_between(scores: torch.Tensor) -> torch.Tensor:
    """Return the classes that can be best in each gap under bilinear interpolation.

    A class is ruled out if the best class of one of the four surrounding cells beats it in all
    four.

    Args:
        scores: class scores, shape (classes, h, w).

    Returns:
        Boolean tensor of shape (classes, h + 1, w + 1), as from :func:`best_around`.

    Example:
        >>> scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]]).view(3, 1, 2)
        >>> best_between(scores)[:, 0].int().tolist()
        [[1, 1, 0], [0, 1, 1], [0, 1, 0]]
    """
    classes, h, w = scores.shape
    grid = F.pad(scores[None], (1, 1, 1, 1), mode="replicate")[0]
    corners = torch.stack([_at(grid, down, right) for down, right in CORNERS])  # (4, classes, ...)
    possible = torch.ones(classes, h + 1, w + 1, dtype=torch.bool)
    winners = grid.max(dim=0).indices  # (h + 2, w + 2)
    for down, right in CORNERS:
        rival = corners.gather(1, _at(winners, down, right).expand(4, 1, -1, -1))
        possible &= (corners - rival).amax(dim=0) >= 0
    return possible


def _at(cells: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Return the cells at one corner of each gap."""
    height, width = cells.shape[-2:]
    return cells[..., down : height - 1 + down, right : width - 1 + right]


def best_classes(
    functions: torch.Tensor,
    possible: torch.Tensor,
    image: NDArray[np.uint8],
    rows: PixelAxis,
    columns: PixelAxis,
) -> NDArray[np.uint8]:
    """Return the best class of each pixel, given a score function for each cell.

    Args:
        functions: each class's slopes for red, green and blue in 0..1 and its constant, or its
            constant alone, in the cells before and after each gap, shape (4 or 1, classes,
            gaps + 1, gaps + 1).
        possible: candidate classes of each gap, shape (classes, gaps, gaps), at most 256 classes.
        image: 8-bit image of shape (height, width, 3).
        rows: rows of the image in the gaps from top to bottom.
        columns: columns of the image in the gaps from left to right.

    Returns:
        Class indices of shape (height, width).
    """
    first = torch.from_numpy(possible.numpy().argmax(axis=0))  # six times faster than torch
    canvas = first.byte()[:, None, :, None].repeat(
        1, rows.pixels.shape[1], 1, columns.pixels.shape[1]
    )
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
    for above, left in _mixed_gaps(possible, rows.pixels.shape[1] * columns.pixels.shape[1]):
        colours = None
        if len(functions) > 1:
            y, x = rows.pixels[above, :, None], columns.pixels[left, None]
            colours = pixels[y, x].permute(3, 0, 1, 2).contiguous() / 255  # (3, gaps, rows, cols)
        canvas[above, :, left] = _best_in_gaps(
            functions, possible, colours, (above, rows.share[above]), (left, columns.share[left])
        )
    mask = canvas.flatten(2).flatten(0, 1).numpy()
    return mask.take(rows.positions.numpy(), axis=0).take(columns.positions.numpy(), axis=1)


def _mixed_gaps(possible: torch.Tensor, pixels: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield rows and columns of gaps with several possible classes, largest counts first."""
    counts = possible.sum(dim=0).flatten()
    order = counts.argsort(descending=True, stable=True)[: int((counts > 1).sum())]
    at_once = max(1, MAX_VALUES // pixels)
    for start in range(0, len(order), at_once):
        some = order[start : start + at_once]
        yield some // possible.shape[2], some % possible.shape[2]


def _best_in_gaps(
    functions: torch.Tensor,
    possible: torch.Tensor,
    colours: torch.Tensor | None,
    down: tuple[torch.Tensor, torch.Tensor],
    right: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Return the best class of each pixel in some gaps.

    Args:
        functions: as for :func:`best_classes`.
        possible: as for :func:`best_classes`.
        colours: colours of the pixels, shape (3, gaps, rows, columns); ``None`` if the functions
            have no slopes.
        down: rows of the gaps, in descending order of possible classes, shape (gaps,), and each
            pixel's fraction of the way down its gap, shape (gaps, rows).
        right: columns of the gaps, shape (gaps,), and each pixel's fraction of the way to the
            right, shape (gaps, columns).

    Returns:
        Class indices of shape (gaps, rows, columns).
    """
    (above, down_share), (left, right_share) = down, right
    considered = possible[:, above, left]  # (classes, gaps)
    counts = considered.sum(dim=0)
    # Possible classes first, in index order.
    classes = torch.from_numpy(np.argsort(~considered.numpy(), axis=0, kind="stable"))
    best = torch.full((*down_share.shape, right_share.shape[1]), -torch.inf)
    winner = np.zeros(best.shape, np.uint8)
    for turn in range(int(counts[0])):
        gaps = int((counts > turn).sum())
        own, y, x = classes[turn, :gaps], above[:gaps], left[:gaps]
        above_left, above_right, below_left, below_right = (
            functions[:, own, y + one, x + other, None] for one, other in CORNERS
        )  # each of shape (functions, gaps, 1)
        left_edge = torch.lerp(above_left, below_left, down_share[:gaps])
        right_edge = torch.lerp(above_right, below_right, down_share[:gaps])
        *slopes, score = torch.lerp(
            left_edge[..., None], right_edge[..., None], right_share[:gaps, None]
        )  # each of shape (gaps, rows, columns)
        if colours is not None:
            for slope, colour in zip(slopes, colours[:, :gaps], strict=True):
                score.addcmul_(slope, colour)
        better = score > best[:gaps]
        torch.maximum(score, best[:gaps], out=best[:gaps])
        # Several times as fast as torch.where.
        np.copyto(winner[:gaps], own[:, None, None].byte().numpy(), where=better.numpy())
    return torch.from_numpy(winner)
