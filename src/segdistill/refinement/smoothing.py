"""Temporal smoothing: class scores of a video averaged over time with motion compensation.

Scores on the grid are averaged exponentially, cell by cell. The previous average of a cell is taken
from its position in the previous frame, found by block matching, and its weight decreases with the
matching error. Newly visible areas, and frames after a cut, therefore use only their own scores.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

SUBDIVISIONS = 4
"""Number of blocks per cell side for motion estimation."""

MAX_SHIFT = 8
"""Maximum motion between frames, in blocks."""

ZERO_SHIFT_MARGIN = (0.3, 0.005)
"""Relative and absolute (0..1) margin by which a shift must match better than no motion; otherwise
noise alone would produce motion."""

DIFFERENCE_SCALE = 0.2
"""Mean colour difference, in 0..1, at which the previous average has 1 / e of its weight."""

CUT_THRESHOLD = 0.1
"""Mean colour difference of a frame, after motion compensation, that indicates a cut."""


class Motion(NamedTuple):
    """Motion of the cells of a frame relative to the previous one.

    Attributes:
        shift: row and column offsets to the position in the previous frame, in blocks, shape
            (2, h, w).
        difference: mean colour difference between the two positions, in 0..1, shape (h, w).
    """

    shift: torch.Tensor
    difference: torch.Tensor


class ScoreSmoother:
    """Averages the class scores of consecutive frames.

    Args:
        strength: weight of the previous average, from 0 to below 1; averages about
            ``1 / (1 - strength)`` frames.

    Example:
        >>> smoother = ScoreSmoother(0.5)
        >>> grey = np.zeros((32, 32, 3), np.uint8)
        >>> first = smoother.smoothed(torch.ones(1, 1, 2, 2), grey)
        >>> smoother.smoothed(torch.zeros(1, 1, 2, 2), grey).flatten().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._average: torch.Tensor | None = None
        self._blocks: torch.Tensor | None = None

    def smoothed(self, scores: torch.Tensor, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return the scores of the next frame, averaged with those of earlier frames.

        Args:
            scores: class scores on a grid, shape (1, classes, h, w).
            image: image covered by the grid, shape (height, width, 3).

        Returns:
            Tensor of the same shape. A change of the grid size resets the average.
        """
        if self.strength <= 0:
            return scores
        blocks = block_colours(image, (scores.shape[2], scores.shape[3]))
        average, previous = self._average, self._blocks
        if average is not None and previous is not None and average.shape == scores.shape:
            motion = find_motion(blocks, previous)
            if float(motion.difference.mean()) < CUT_THRESHOLD:
                weight = self.strength * torch.exp(-motion.difference / DIFFERENCE_SCALE)
                scores = torch.lerp(scores, warp(average, motion.shift), weight)
        self._average, self._blocks = scores, blocks
        return scores

    def reset(self) -> None:
        """Discard the average; the next frame starts a new one."""
        self._average = self._blocks = None


def block_colours(image: NDArray[np.uint8], grid: tuple[int, int]) -> torch.Tensor:
    """Return the mean colours of blocks, :data:`SUBDIVISIONS` per cell side.

    Args:
        image: shape (height, width, 3).
        grid: height and width of the grid, in cells.

    Returns:
        Tensor of shape (3, SUBDIVISIONS * h, SUBDIVISIONS * w), in 0..1.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
    return F.adaptive_avg_pool2d(pixels, (SUBDIVISIONS * grid[0], SUBDIVISIONS * grid[1]))


def find_motion(blocks: torch.Tensor, previous: torch.Tensor) -> Motion:
    """Estimate the motion of each cell by exhaustive block matching.

    All shifts up to :data:`MAX_SHIFT` are compared by mean absolute colour difference.

    Args:
        blocks: block colours of the frame, shape (3, SUBDIVISIONS * h, SUBDIVISIONS * w).
        previous: block colours of the previous frame, same shape.

    Example:
        >>> previous = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
        >>> motion = find_motion(previous.roll((2, -3), dims=(1, 2)), previous)
        >>> motion.shift[:, 4, 6].tolist()
        [-2.0, 3.0]
    """
    height, width = blocks.shape[1:]
    padded = F.pad(previous[None], (MAX_SHIFT,) * 4, mode="replicate")[0]
    best = torch.full((height // SUBDIVISIONS, width // SUBDIVISIONS), torch.inf)
    ranked = best.clone()
    shift = torch.zeros(2, *best.shape)
    for down in range(-MAX_SHIFT, MAX_SHIFT + 1):
        for right in range(-MAX_SHIFT, MAX_SHIFT + 1):
            rows = slice(MAX_SHIFT + down, MAX_SHIFT + down + height)
            columns = slice(MAX_SHIFT + right, MAX_SHIFT + right + width)
            difference = (blocks - padded[:, rows, columns]).abs().mean(dim=0)
            # Each cell with a margin of one block.
            cells = F.avg_pool2d(
                difference[None, None], SUBDIVISIONS + 2, SUBDIVISIONS, 1, count_include_pad=False
            )
            cost = cells[0, 0]
            rank = cost
            if down == right == 0:
                rank = cost * (1 - ZERO_SHIFT_MARGIN[0]) - ZERO_SHIFT_MARGIN[1]
            better = rank < ranked
            ranked = torch.where(better, rank, ranked)
            best = torch.where(better, cost, best)
            shift[0][better], shift[1][better] = down, right
    return Motion(shift, best)


def warp(scores: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Warp the scores of the previous frame to the current one, with bilinear interpolation.

    Args:
        scores: class scores of the previous frame, shape (1, classes, h, w).
        shift: offsets to the position in the previous frame, in blocks, shape (2, h, w).

    Returns:
        Tensor of the same shape.
    """
    h, w = scores.shape[2:]
    rows = (torch.arange(h)[:, None] + 0.5 + shift[0] / SUBDIVISIONS) / h * 2 - 1
    columns = (torch.arange(w) + 0.5 + shift[1] / SUBDIVISIONS) / w * 2 - 1
    grid = torch.stack([columns, rows], dim=-1)[None]  # (1, h, w, 2), x before y
    return F.grid_sample(scores, grid, padding_mode="border", align_corners=False)
