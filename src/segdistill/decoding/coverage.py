"""Which parts of an image have a value, in little memory."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.pictures import Valid

SIDE = 256
"""Rows and columns of the reduced copy that is kept; feature maps have fewer as a rule."""

LEAST_VALID = 0.5
"""Share of a cell that must be valid: of the others, a backbone sees mostly the filling."""


@dataclass(frozen=True)
class Coverage:
    """Share of valid pixels in each part of an image.

    It is kept with the checked image instead of the feature store: every fit decodes each image
    once to check it, where this costs nothing, and a few hundred bytes hold it.

    Attributes:
        packed: compressed shares, 0 to 255, of :data:`SIDE` x :data:`SIDE` parts.
    """

    packed: bytes

    @classmethod
    def of(cls, valid: Valid) -> "Coverage":
        """Return the coverage of an image, from its valid pixels (height, width)."""
        shares = Image.fromarray(valid.astype(np.uint8) * 255)
        reduced = shares.resize((SIDE, SIDE), Image.Resampling.BOX)
        return cls(zlib.compress(reduced.tobytes()))

    @property
    def shares(self) -> NDArray[np.uint8]:
        """Shares of valid pixels, 0 to 255, shape (SIDE, SIDE)."""
        return np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(SIDE, SIDE)


def valid_cells(shares: NDArray[np.uint8], grid: tuple[int, int]) -> Valid:
    """Return which cells of a grid are valid, from the shares of valid pixels in a region.

    Example:
        >>> shares = np.zeros((4, 4), np.uint8)
        >>> shares[:, 1:] = 255
        >>> valid_cells(shares, (1, 4)).tolist()
        [[False, True, True, True]]
    """
    size = (grid[1], grid[0])
    reduced = Image.fromarray(np.ascontiguousarray(shares)).resize(size, Image.Resampling.BOX)
    return np.asarray(reduced) >= 255 * LEAST_VALID
