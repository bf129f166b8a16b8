"""Mean colours of grid cells over an image, and colour noise, one row of cells at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

QUIET_SHARE = 0.75
"""Share of cells, lowest variance first, used to estimate noise; the others contain edges."""

SAMPLES = 16
"""Pixels sampled along each side of a cell for its colours; larger cells are subsampled."""

LEAST_NOISE = 1 / 255
"""Minimum standard deviation of the noise: one level of an 8-bit image."""

NOISE_ROWS = 256
"""Maximum number of evenly spaced rows of cells from which colour noise is estimated."""

PIXELS_AT_ONCE = 100_000
"""Pixels of several rows of cells whose colours are computed together: they fit into the cache."""


class PixelRows(NamedTuple):
    """Rows of an image.

    Attributes:
        pixels: 8-bit colours, shape (rows, width, 3).
        valid: mask of the pixels that have a value, shape (rows, width); ``None`` if all have.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None = None


ReadRows = Callable[[slice], PixelRows]


@dataclass(frozen=True)
class CellGrid:
    """Layout of a grid of cells over an image.

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
        """Distance between the pixels sampled for the colours of a cell, in pixels."""
        (height, width), (h, w) = self.size, self.grid
        return max(1, min(height // h, width // w) // SAMPLES)

    def samples(self, cell: int) -> slice:
        """Return the rows of pixels to sample for a row of cells, as a slice with a step."""
        step = self.step
        count = len(range(step // 2, self.size[0], step))
        first = cell * count // self.grid[0]
        stop = -(-(cell + 1) * count // self.grid[0])
        return slice(step // 2 + first * step, step // 2 + (stop - 1) * step + 1, step)


class CellColours:
    """Mean colours of cells and colour noise; each row of cells is read once.

    Args:
        read_rows: function that returns the given rows of the image.
        cells: layout of the grid over the image.

    Example:
        >>> image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
        >>> colours = CellColours(lambda rows: PixelRows(image[rows]), CellGrid((1, 2), (1, 1)))
        >>> colours.means(0, 1).flatten().tolist()
        [0.5, 0.5, 0.5]
    """

    def __init__(self, read_rows: ReadRows, cells: CellGrid) -> None:
        self._read_rows = read_rows
        self.cells = cells
        self._kept: dict[int, torch.Tensor] = {}

    def means(self, first: int, stop: int) -> torch.Tensor:
        """Return the mean colours, in 0..1, of a range of rows of cells, shape (3, rows, w)."""
        for row in range(first, stop):
            if row not in self._kept:
                self._kept[row] = self._moments([self._samples(row).pixels])[:, 0]
        return torch.stack([self._kept[row][:3] for row in range(first, stop)], dim=1)

    def drop(self, first: int) -> None:
        """Drop the cached rows above row ``first``."""
        self._kept = {row: kept for row, kept in self._kept.items() if row >= first}

    def noise(self) -> torch.Tensor:
        """Return the covariance of colour noise, measured within the quieter cells.

        Texture counts as noise. At most :data:`NOISE_ROWS` rows of cells are measured. Cells with
        missing values are skipped, unless all cells have some.

        Returns:
            Tensor of shape (3, 3), positive definite.
        """
        height, width = self.cells.grid
        count = min(height, NOISE_ROWS)
        rows = sorted({(2 * number + 1) * height // (2 * count) for number in range(count)})
        # One allocation for everything kept: many small ones would fragment memory between the
        # large temporary ones and keep it from being released.
        moments = torch.empty(12, len(rows), width)
        valid = torch.empty(len(rows), width, dtype=torch.bool)
        for start, group in self._groups(rows):
            for number, samples in enumerate(group, start):
                valid[number] = _cells_with_values(samples, width)
            moments[:, start : start + len(group)] = self._moments([each.pixels for each in group])
        self._kept.update(zip(rows, moments.unbind(dim=1), strict=True))
        means = moments[:3]
        covariances = moments[3:].view(3, 3, len(rows), width) - means[:, None] * means
        cells = covariances[..., valid] if valid.any() else covariances.flatten(2)
        variance = cells.diagonal().sum(dim=1)  # (3, 3, cells) -> (cells,)
        quiet = variance.argsort()[: max(1, int(QUIET_SHARE * len(variance)))]
        return cells[..., quiet].mean(dim=2) + LEAST_NOISE**2 * torch.eye(3)

    def _samples(self, row: int) -> PixelRows:
        """Return the pixels sampled for a row of cells."""
        step = self.cells.step
        wanted = self.cells.samples(row)
        image = self._read_rows(slice(wanted.start, wanted.stop))
        part = (slice(None, None, step), slice(step // 2, None, step))
        valid = None if image.valid is None else image.valid[part]
        # Arrays from Pillow images are read-only, and torch warns about those.
        return PixelRows(np.require(image.pixels[part], requirements=("C", "W")), valid)

    def _groups(self, rows: Sequence[int]) -> Iterator[tuple[int, list[PixelRows]]]:
        """Yield the pixels sampled for rows of cells, in groups of one shape and a limited size.

        With the position of each group's first row.
        """
        start, group = 0, list[PixelRows]()
        for number, row in enumerate(rows):
            samples = self._samples(row)
            shape = samples.pixels.shape
            most = max(1, PIXELS_AT_ONCE // (shape[0] * shape[1]))
            if group and (group[0].pixels.shape != shape or len(group) >= most):
                yield start, group
                start, group = number, []
            group.append(samples)
        if group:
            yield start, group

    def _moments(self, pixels: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return the mean colours and their nine mean products in rows of cells.

        Shape (12, rows of cells, w), from pixels of one shape.
        """
        # Planes, since torch is slow on the last axis if it has few entries.
        # (rows of cells, rows, width, 3) -> (3, rows of cells, rows, width)
        planes = torch.from_numpy(np.stack(pixels)).permute(3, 0, 1, 2)
        colours = (planes / 255).contiguous()
        means = colours.mean(dim=2)  # (3, rows of cells, width)
        products = torch.cat([(colours * each).mean(dim=2) for each in colours])
        return F.adaptive_avg_pool1d(torch.cat([means, products]), self.cells.grid[1])


def _cells_with_values(samples: PixelRows, width: int) -> torch.Tensor:
    if samples.valid is None:
        return torch.ones(width, dtype=torch.bool)
    columns = torch.from_numpy(samples.valid.all(axis=0))[None].float()
    return F.adaptive_avg_pool1d(columns, width)[0] > 0.999
