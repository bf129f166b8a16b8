"""Upsampling of class scores from the backbone's grid to pixels, edge-aware or bilinear.

A grid cell is many pixels wide. Bilinear interpolation places a class boundary somewhere between
two cells, not where the image changes. The guided filter moves it to the image's edge, at little
cost compared with the backbone.

Masks are computed band by band. A band needs only the scores and pixels of a few cells above and
below it, so an image may be larger than memory.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.config.settings import MIN_REGION, UpsamplingName
from segdistill.refinement.best_class import (
    PixelAxis,
    best_around,
    best_between,
    best_classes,
    gaps_of,
)
from segdistill.refinement.cell_colours import CellColours, CellGrid, PixelRows, ReadRows
from segdistill.refinement.dense import bands_of, enlarge_rows
from segdistill.refinement.guided_filter import (
    AVERAGING,
    RADIUS,
    guided_bands,
    linear_functions,
    sharpened,
)
from segdistill.refinement.region_cleanup import absorb_small_regions, min_pixels

Upsampling = UpsamplingName

CONTEXT = RADIUS + AVERAGING + 1
"""Cells beyond a band that affect its mask: windows, their averaging, and the gap itself."""

BAND_BYTES = 2**24
"""Maximum size of a band's pixels in bytes, unless a single row of cells exceeds it."""


class MaskBand(NamedTuple):
    """Some rows of a mask.

    Attributes:
        rows: range of rows.
        mask: class indices, shape (rows, width).
        image: the same rows of the image.
    """

    rows: slice
    mask: NDArray[np.uint8]
    image: PixelRows


def upsampled_mask(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    upsampling: Upsampling = "guided",
    detail: float = 0.0,
) -> NDArray[np.uint8]:
    """Return the best class of each pixel.

    Args:
        scores: class scores on a grid, shape (1, classes, h, w), at most 256 classes.
        image: 8-bit image that the grid covers, shape (height, width, 3).
        upsampling: ``guided`` follows the edges of the image; ``bilinear`` ignores the image.
        detail: how much of a cell's own score the guided filter keeps; see
            :func:`~segdistill.refinement.guided_filter.linear_functions`.

    Returns:
        Class indices of shape (height, width).

    Raises:
        ValueError: the scores or the image have the wrong shape.

    Example:
        >>> image = np.zeros((1, 8, 3), np.uint8)
        >>> image[:, 3:] = 200
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).view(1, 2, 1, 2)
        >>> upsampled_mask(scores, image).tolist()
        [[0, 0, 0, 1, 1, 1, 1, 1]]
        >>> upsampled_mask(scores, image, upsampling="bilinear").tolist()
        [[0, 0, 0, 0, 1, 1, 1, 1]]
    """
    _check_shapes(scores, image)
    height, width = image.shape[:2]
    bands = mask_bands(
        [(slice(0, scores.shape[2]), scores)],
        lambda rows: PixelRows(image[rows]),
        CellGrid((height, width), (scores.shape[2], scores.shape[3])),
        upsampling=upsampling,
        detail=detail,
    )
    return np.concatenate([band.mask for band in bands])


def cleaned_mask(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    upsampling: Upsampling = "guided",
    detail: float = 0.0,
    min_region: float = MIN_REGION,
) -> NDArray[np.uint8]:
    """Return :func:`upsampled_mask` with small regions absorbed by their neighbours.

    Connected regions smaller than the share ``min_region`` of the image are absorbed; 0 keeps all.
    """
    mask = upsampled_mask(scores, image, upsampling=upsampling, detail=detail)
    return absorb_small_regions(mask, min_pixels(min_region, *mask.shape))


def upsampled_bands(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    upsampling: Upsampling = "guided",
    detail: float = 0.0,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Upsample class scores to pixels, band by band; arguments as for :func:`upsampled_mask`.

    Yields:
        Rows, from top to bottom, and their scores, of shape (classes, rows, width). The guided
        filter may slightly exceed the range of the input scores. Masks are computed from sharpened
        scores, so their best class may differ from that of these scores where two classes nearly
        tie.

    Raises:
        ValueError: the scores or the image have the wrong shape.
    """
    _check_shapes(scores, image)
    if upsampling == "guided":
        yield from guided_bands(scores.float(), image, detail=detail)
        return
    size = (image.shape[0], image.shape[1])
    for rows in bands_of(size[0], width=size[1], classes=scores.shape[1]):
        yield rows, enlarge_rows(scores, size, rows)[0]


def mask_bands(
    strips: Iterable[tuple[slice, torch.Tensor]],
    read_rows: ReadRows,
    cells: CellGrid,
    *,
    upsampling: Upsampling = "guided",
    detail: float = 0.0,
) -> Iterator[MaskBand]:
    """Compute the mask of :func:`upsampled_mask` band by band, without loading the whole image.

    With ``guided`` upsampling, classes that are best in none of the 16 cells around a pixel are
    not considered there: they would rarely win, and then only in specks.

    Args:
        strips: rows of the grid, from top to bottom, and their scores, of shape (1, classes, rows,
            w).
        read_rows: function that returns the given rows of the image.
        cells: layout of the grid over the image.
        upsampling: as for :func:`upsampled_mask`.
        detail: as for :func:`upsampled_mask`.

    Yields:
        The bands of the mask, from top to bottom.
    """
    (height, width), (count, across) = cells.size, cells.grid
    colours = CellColours(read_rows, cells) if upsampling == "guided" else None
    noise = torch.empty(0) if colours is None else colours.noise()
    columns = PixelAxis.of(width, across, slice(0, across + 1))
    first_pixels = torch.searchsorted(gaps_of(height, count)[0], torch.arange(count + 2)).tolist()
    at_once = max(1, BAND_BYTES // (3 * width * -(-height // count)))
    held, top, done = torch.empty(0), 0, 0  # buffered score rows, first of them, rows of gaps done
    for rows, scores in strips:
        new = (scores.float() if colours is None else sharpened(scores))[0].cpu()
        held = torch.cat([held, new], dim=1) if rows.start else new
        while done <= count:
            stop = min(done + at_once, count + 1)
            last = min(count, stop + CONTEXT)
            if rows.stop < last:
                break
            wanted = slice(first_pixels[done], first_pixels[stop])
            if wanted.start < wanted.stop:
                image = read_rows(wanted)
                near = held[:, : last - top]
                if colours is None:
                    functions, possible = near[None], best_between(near)
                else:
                    functions = linear_functions(
                        near, colours.means(top, last), noise, detail=detail
                    )
                    possible = best_around(near)
                # Functions are constant beyond the centres of the outermost cells.
                grid = F.pad(functions, (1, 1, 1, 1), mode="replicate")
                mask = best_classes(
                    grid[:, :, done - top : stop - top + 1],
                    possible[:, done - top : stop - top],
                    image.pixels,
                    PixelAxis.of(height, count, slice(done, stop)),
                    columns,
                )
                yield MaskBand(wanted, mask, image)
            done = stop
            held, top = held[:, max(0, done - CONTEXT) - top :], max(0, done - CONTEXT)
            if colours is not None:
                colours.drop(top)


def _check_shapes(scores: torch.Tensor, image: NDArray[np.uint8]) -> None:
    if scores.ndim != 4 or len(scores) != 1 or 0 in scores.shape:
        raise ValueError(f"scores {tuple(scores.shape)}: give scores of shape (1, classes, h, w)")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image {image.shape}: give an image of shape (height, width, 3)")
