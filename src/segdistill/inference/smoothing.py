"""Steady labels over time: class scores of a video averaged along the motion of what it shows.

An exponential average of the scores on the grid, cell by cell. What was known of a cell comes from
where it lay one frame before, found by block matching, and counts for less the worse the two match:
what appears again is judged by its own frame alone, and so is a whole frame after a cut.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

FINER = 4
"""Matching looks at places this many times as fine as the cells, along per side."""

REACH = 8
"""How far things may move from frame to frame, in those places."""

STANDING_STILL = (0.3, 0.005)
"""By this share, and by so much in 0..1, another place must match better for a cell to have moved
there: noise alone makes some place match better by chance."""

TOLERANCE = 0.2
"""Mean difference of colours, in 0..1, at which what was known counts for 1 / e of its weight."""

CUT = 0.1
"""Mean difference over a frame, after matching, from which on it belongs to another scene."""


class Motion(NamedTuple):
    """Where the cells of a frame lay one frame before.

    Attributes:
        shift: rows and columns to go from here to there, in places, shape (2, h, w).
        difference: mean difference of colours between here and there, in 0..1, shape (h, w).
    """

    shift: torch.Tensor
    difference: torch.Tensor


class ScoreSmoother:
    """Averages the class scores of frames in turn.

    Args:
        strength: weight of what was known, from 0 (none) to below 1; about ``1 / (1 - strength)``
            frames count.

    Example:
        >>> smoother = ScoreSmoother(0.5)
        >>> grey = np.zeros((32, 32, 3), np.uint8)
        >>> first = smoother.smoothed(torch.ones(1, 1, 2, 2), grey)
        >>> smoother.smoothed(torch.zeros(1, 1, 2, 2), grey).flatten().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._known: torch.Tensor | None = None
        self._before: torch.Tensor | None = None

    def smoothed(self, scores: torch.Tensor, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return the scores of the next frame, averaged with those of the frames before.

        Args:
            scores: on a grid, shape (1, classes, h, w).
            image: that the grid covers, shape (height, width, 3).

        Returns:
            Tensor of the same shape. A frame of another size begins again.
        """
        if self.strength <= 0:
            return scores
        places = places_of(image, (scores.shape[2], scores.shape[3]))
        known, before = self._known, self._before
        if known is not None and before is not None and known.shape == scores.shape:
            motion = find_motion(places, before)
            if float(motion.difference.mean()) < CUT:
                weight = self.strength * torch.exp(-motion.difference / TOLERANCE)
                scores = torch.lerp(scores, moved(known, motion.shift), weight)
        self._known, self._before = scores, places
        return scores

    def forget(self) -> None:
        """Begin again with the next frame."""
        self._known = self._before = None


def places_of(image: NDArray[np.uint8], grid: tuple[int, int]) -> torch.Tensor:
    """Return the mean colours of an image in places :data:`FINER` times as fine as cells.

    Args:
        image: shape (height, width, 3).
        grid: height and width of the grid, in cells.

    Returns:
        Tensor of shape (3, FINER * h, FINER * w), in 0..1.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
    return F.adaptive_avg_pool2d(pixels, (FINER * grid[0], FINER * grid[1]))


def find_motion(places: torch.Tensor, before: torch.Tensor) -> Motion:
    """Find where each cell of a frame lay in the frame before.

    Every shift within :data:`REACH` is tried, and blocks are compared by the mean absolute
    difference of their colours.

    Args:
        places: colours of the frame, shape (3, FINER * h, FINER * w).
        before: of the frame before, the same.

    Example:
        >>> before = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
        >>> motion = find_motion(before.roll((2, -3), dims=(1, 2)), before)
        >>> motion.shift[:, 4, 6].tolist()
        [-2.0, 3.0]
    """
    height, width = places.shape[1:]
    padded = F.pad(before[None], (REACH,) * 4, mode="replicate")[0]
    best = torch.full((height // FINER, width // FINER), torch.inf)
    ranked = best.clone()
    shift = torch.zeros(2, *best.shape)
    for down in range(-REACH, REACH + 1):
        for right in range(-REACH, REACH + 1):
            rows = slice(REACH + down, REACH + down + height)
            columns = slice(REACH + right, REACH + right + width)
            apart = (places - padded[:, rows, columns]).abs().mean(dim=0)
            # Around the middle of each cell.
            cells = F.avg_pool2d(apart[None, None], FINER + 2, FINER, 1, count_include_pad=False)
            cost = cells[0, 0]
            rank = cost
            if down == right == 0:
                rank = cost * (1 - STANDING_STILL[0]) - STANDING_STILL[1]
            better = rank < ranked
            ranked = torch.where(better, rank, ranked)
            best = torch.where(better, cost, best)
            shift[0][better], shift[1][better] = down, right
    return Motion(shift, best)


def moved(scores: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Return scores brought to where the things lie now.

    Args:
        scores: of the frame before, shape (1, classes, h, w).
        shift: from here to there, in places, shape (2, h, w).

    Returns:
        Tensor of the same shape, interpolated bilinearly.
    """
    h, w = scores.shape[2:]
    rows = (torch.arange(h)[:, None] + 0.5 + shift[0] / FINER) / h * 2 - 1
    columns = (torch.arange(w) + 0.5 + shift[1] / FINER) / w * 2 - 1
    where = torch.stack([columns, rows], dim=-1)[None]  # (1, h, w, 2), x before y
    return F.grid_sample(scores, where, padding_mode="border", align_corners=False)
