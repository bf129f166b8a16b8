"""The eight orientations of EXIF and TIFF: which way up an image is stored."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]


class Turn(NamedTuple):
    """How stored pixels become upright: rows and columns are swapped, then each may be flipped.

    Attributes:
        swap: whether rows become columns.
        flip_rows: whether the last row becomes the first.
        flip_columns: whether the last column becomes the first.
    """

    swap: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def size(self, size: Size) -> Size:
        """Return the upright height and width of a stored size, or the other way round.

        Example:
            >>> turn_of(6).size((240, 320))
            (320, 240)
        """
        return size[::-1] if self.swap else size

    def stored_window(self, rows: slice, columns: slice, size: Size) -> tuple[slice, slice]:
        """Return where the pixels of an upright window are stored.

        Args:
            rows: of the upright image.
            columns: of the upright image.
            size: height and width of the upright image.

        Example:
            >>> turn_of(3).stored_window(slice(0, 2), slice(0, 5), (10, 20))
            (slice(8, 10, None), slice(15, 20, None))
        """
        if self.flip_rows:
            rows = slice(size[0] - rows.stop, size[0] - rows.start)
        if self.flip_columns:
            columns = slice(size[1] - columns.stop, size[1] - columns.start)
        return (columns, rows) if self.swap else (rows, columns)

    def upright(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return stored values of shape (..., height, width) as they are upright.

        Example:
            >>> turn_of(6).upright(np.array([[1, 2, 3], [4, 5, 6]])).tolist()
            [[4, 1], [5, 2], [6, 3]]
        """
        turned = np.swapaxes(values, -1, -2) if self.swap else values
        rows, columns = (-1 if flip else 1 for flip in (self.flip_rows, self.flip_columns))
        return np.ascontiguousarray(turned[..., ::rows, ::columns])


_TURNS = {
    2: Turn(flip_columns=True),
    3: Turn(flip_rows=True, flip_columns=True),
    4: Turn(flip_rows=True),
    5: Turn(swap=True),
    6: Turn(swap=True, flip_columns=True),
    7: Turn(swap=True, flip_rows=True, flip_columns=True),
    8: Turn(swap=True, flip_rows=True),
}


def turn_of(orientation: int) -> Turn:
    """Return how pixels of an orientation become upright; unknown ones are taken to be upright."""
    return _TURNS.get(orientation, Turn())
