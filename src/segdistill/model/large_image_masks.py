"""Masks of images too large to be held: class scores come strip by strip, masks band by band.

A band of the mask needs the scores and the pixels of a few cells above and below it, and no more.
So what comes out is what :func:`segdistill.model.upsampling.upsampled_mask` gives for the whole.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.model.cell_colours import SAMPLES, colour_noise
from segdistill.model.dense import bands_of, enlarge_rows
from segdistill.model.guided_filter import (
    AVERAGING,
    NOISE,
    RADIUS,
    linear_functions,
    sharpened,
)
from segdistill.model.guided_mask import PixelAxis, best_of_functions, gaps_of, possible_classes
from segdistill.model.upsampling import Upsampling

CONTEXT = RADIUS + AVERAGING + 1
"""Cells beyond a band on which its mask depends: windows, their average, and the gap itself."""

BAND_BYTES = 2**24
"""Of the pixels of a band, unless a single row of cells has more."""

NOISE_ROWS = 256
"""Rows of cells, evenly spread, that tell the noise of colours in a large image."""


class PixelRows(NamedTuple):
    """Rows of an image.

    Attributes:
        pixels: shape (rows, width, 3).
        valid: where the image has a value, shape (rows, width); ``None`` means everywhere.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None = None


ReadRows = Callable[[slice], PixelRows]


class MaskBand(NamedTuple):
    """Some rows of a mask.

    Attributes:
        rows: which.
        mask: class indices, shape (rows, width).
        image: the same rows of the image.
    """

    rows: slice
    mask: NDArray[np.uint8]
    image: PixelRows


@dataclass(frozen=True)
class CellGrid:
    """How the cells of a grid lie in an image.

    Attributes:
        size: height and width of the image, in pixels.
        grid: height and width of the grid, in cells.

    Example:
        >>> CellGrid((64, 96), (4, 6)).samples(1)
        slice(16, 32, 1)
    """

    size: tuple[int, int]
    grid: tuple[int, int]

    @property
    def step(self) -> int:
        """How far apart the pixels are that tell the colours of a cell."""
        (height, width), (h, w) = self.size, self.grid
        return max(1, min(height // h, width // w) // SAMPLES)

    def samples(self, cell: int) -> slice:
        """Return the rows that tell the colours of a row of cells, with their step."""
        step = self.step
        count = len(range(step // 2, self.size[0], step))
        first = cell * count // self.grid[0]
        stop = -(-(cell + 1) * count // self.grid[0])
        return slice(step // 2 + first * step, step // 2 + (stop - 1) * step + 1, step)


def mask_bands(
    strips: Iterable[tuple[slice, torch.Tensor]],
    read_rows: ReadRows,
    cells: CellGrid,
    *,
    upsampling: Upsampling = "guided",
) -> Iterator[MaskBand]:
    """Bring class scores to a mask, as :func:`segdistill.model.upsampling.upsampled_mask` does.

    With ``guided`` there is one difference: the noise of colours, by which slopes are held back, is
    told from at most :data:`NOISE_ROWS` rows of cells, and not from cells without a value.

    Args:
        strips: rows of the grid, from top to bottom, and the scores there, of shape (1, classes,
            rows, w).
        read_rows: gives some rows of the image.
        cells: how the grid lies in it.
        upsampling: as for that function.

    Yields:
        The bands of the mask, from top to bottom.
    """
    height, count = cells.size[0], cells.grid[0]
    moments = CellMoments(read_rows, cells)
    noise = moments.noise() if upsampling == "guided" else torch.empty(0)
    starts = torch.searchsorted(
        gaps_of(height, count)[0], torch.arange(count + 2)
    ).tolist()  # row of the first pixel in each gap, and beyond
    held = _Held()
    done = 0
    for rows, scores in strips:
        held.add(scores, rows.stop)
        while done <= count:
            stop = min(done + _cells_per_band(cells), count + 1)
            first, last = max(0, done - CONTEXT), min(count, stop + CONTEXT)
            if held.stop < last:
                break
            wanted = slice(starts[done], starts[stop])
            if wanted.start < wanted.stop:
                context = _Context(held.rows(first, last), slice(first, last), cells)
                if upsampling == "guided":
                    means = moments.rows(first, last)
                    image = read_rows(wanted)
                    mask = _guided_mask(context, slice(done, stop), means, noise, image.pixels)
                    yield MaskBand(wanted, mask, image)
                else:
                    yield MaskBand(wanted, _bilinear_mask(context, wanted), read_rows(wanted))
            done = stop
            held.drop(done - CONTEXT)
            moments.drop(done - CONTEXT)


class _Held:
    """Rows of class scores that are still needed."""

    def __init__(self) -> None:
        self.scores: torch.Tensor | None = None
        self.stop = 0

    def add(self, scores: torch.Tensor, stop: int) -> None:
        """Take further rows, which end above a row of the grid."""
        self.scores = scores if self.scores is None else torch.cat([self.scores, scores], dim=2)
        self.stop = stop

    def rows(self, first: int, stop: int) -> torch.Tensor:
        """Return some rows, shape (1, classes, rows, w)."""
        if self.scores is None:
            raise ValueError("no scores were given yet")
        start = self.stop - self.scores.shape[2]
        return self.scores[:, :, first - start : stop - start]

    def drop(self, first: int) -> None:
        """Forget what lies above a row."""
        if self.scores is not None:
            start = self.stop - self.scores.shape[2]
            self.scores = self.scores[:, :, max(0, first - start) :]


class _Context(NamedTuple):
    """The scores on which a band of the mask depends.

    Attributes:
        scores: shape (1, classes, rows, w).
        rows: of the grid.
        cells: how the grid lies in the image.
    """

    scores: torch.Tensor
    rows: slice
    cells: CellGrid


def _guided_mask(
    context: _Context,
    gaps: slice,
    moments: torch.Tensor,
    noise: torch.Tensor,
    pixels: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Return the rows of a mask that lie in some gaps between the rows of cells.

    Args:
        context: scores of the cells around.
        gaps: which.
        moments: of colours in those cells, shape (12, rows, w).
        noise: of colours, shape (3, 3).
        pixels: of the rows that lie in the gaps.
    """
    cells, first = context.cells, context.rows.start
    scores = sharpened(context.scores)
    functions = linear_functions(
        scores[0], moments[:3], NOISE * noise, radius=RADIUS, averaging=AVERAGING
    )  # (4, classes, rows, w)
    # Beyond the middles of the outermost cells functions stay unchanged there.
    grid = F.pad(functions, (1, 1, 1, 1), mode="replicate")
    own = slice(gaps.start - first, gaps.stop - first)
    return best_of_functions(
        grid[:, :, own.start : own.stop + 1],
        possible_classes(scores[0])[:, own],
        pixels,
        PixelAxis.of(cells.size[0], cells.grid[0], gaps),
        PixelAxis.of(cells.size[1], cells.grid[1]),
    )


def _bilinear_mask(context: _Context, wanted: slice) -> NDArray[np.uint8]:
    (_, width), classes = context.cells.size, context.scores.shape[1]
    parts = []
    for rows in bands_of(wanted.stop - wanted.start, width=width, classes=classes):
        enlarged = enlarge_rows(
            context.scores.float(),
            context.cells.size,
            slice(wanted.start + rows.start, wanted.start + rows.stop),
            first=context.rows.start,
            height=context.cells.grid[0],
        )
        parts.append(enlarged[0].argmax(dim=0).byte().numpy())  # (classes, rows, width)
    return np.concatenate(parts)


class CellMoments:
    """Means of colours and of their products, by row of cells, each row computed once.

    Args:
        read_rows: gives some rows of the image.
        cells: how the grid lies in it.
    """

    def __init__(self, read_rows: ReadRows, cells: CellGrid) -> None:
        self._read_rows = read_rows
        self.cells = cells
        self._kept: dict[int, torch.Tensor] = {}

    def rows(self, first: int, stop: int) -> torch.Tensor:
        """Return the moments in some rows of cells.

        Returns:
            Means of red, green and blue in 0..1, and of the nine products of two of them, shape
            (12, rows, w).
        """
        for row in range(first, stop):
            if row not in self._kept:
                self._kept[row] = self._moments(self._samples(row).pixels)
        return torch.stack([self._kept[row] for row in range(first, stop)], dim=1)

    def drop(self, first: int) -> None:
        """Forget the rows above one."""
        self._kept = {row: kept for row, kept in self._kept.items() if row >= first}

    def noise(self) -> torch.Tensor:
        """Return the covariance of the noise; see :mod:`segdistill.model.guided_filter`.

        Returns:
            Tensor of shape (3, 3), positive definite.
        """
        height, width = self.cells.grid
        count = min(height, NOISE_ROWS)
        rows = sorted({(2 * number + 1) * height // (2 * count) for number in range(count)})
        # One piece of memory for all that is kept: small ones would lie scattered among the large
        # ones that come and go, and hold those.
        moments = torch.empty(12, len(rows), width)
        valid = torch.empty(len(rows), width, dtype=torch.bool)
        for number, row in enumerate(rows):
            samples = self._samples(row)
            moments[:, number] = self._moments(samples.pixels)
            valid[number] = _cells_with_values(samples, width)
            self._kept[row] = moments[:, number]
        means = moments[:3]
        covariances = moments[3:].view(3, 3, len(rows), width) - means[:, None] * means
        return colour_noise(covariances[..., valid] if valid.any() else covariances)

    def _samples(self, row: int) -> PixelRows:
        """Return the pixels that tell the colours of a row of cells."""
        step = self.cells.step
        wanted = self.cells.samples(row)
        image = self._read_rows(slice(wanted.start, wanted.stop))
        part = (slice(None, None, step), slice(step // 2, None, step))
        valid = None if image.valid is None else image.valid[part]
        return PixelRows(np.ascontiguousarray(image.pixels[part]), valid)

    def _moments(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Return the moments (12, w) of the pixels (rows, width, 3) of a row of cells."""
        colours = torch.from_numpy(pixels).permute(2, 0, 1) / 255  # (3, rows, width)
        products = (colours[:, None] * colours).flatten(0, 1)
        both = torch.cat([colours, products]).mean(dim=1)  # (12, width)
        return F.adaptive_avg_pool1d(both, self.cells.grid[1])


def _cells_with_values(samples: PixelRows, width: int) -> torch.Tensor:
    if samples.valid is None:
        return torch.ones(width, dtype=torch.bool)
    columns = torch.from_numpy(samples.valid.all(axis=0))[None].float()
    return F.adaptive_avg_pool1d(columns, width)[0] > 0.999


def _cells_per_band(cells: CellGrid) -> int:
    bytes_per_row = 3 * cells.size[1] * -(-cells.size[0] // cells.grid[0])
    return max(1, BAND_BYTES // bytes_per_row)
