"""Constant borders of images: letterboxes, frames, corners outside a fisheye lens's circle.

A border is black or white, exactly constant, connected to the image's edge, covers all four
corners, and what it leaves is convex, as a picture in a frame is. A night sky, a blown-out one and
the white of a studio are not: things stand out into them. Along single edges, black bars that end
in a straight line are borders, too.

SciPy's packages are imported where an image has a border, since they take longer than to read one.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Kind = TypeVar("Kind", bound=np.generic)

DARKEST, LIGHTEST = 20, 240
"""8-bit values that count as black and white; black is 16 in some videos."""

NOISY_LINES = 8
MOST_ALIKE = 0.2
"""Share of the first line behind a bar, and the noise, that may look like it."""

NOISE = 24
"""8-bit values differ from the border's by at most this near its edge, as JPEG leaves them."""

EXACT_SHARE = 0.6
"""Share of a border that has exactly its value; less in a narrow one of a small JPEG."""

SMALLEST, LARGEST = 0.01, 0.8
"""Shares of an image that a border covers."""

LEAST_CONVEX = 0.97
"""Share of its convex hull that the picture within a border fills."""

LEAST_ACROSS = 0.97
"""Share of the height or width that a picture within a border fills, unless it is a rectangle."""

COARSE_SIDE = 512


@dataclass(frozen=True)
class CoarseBorder:
    """A constant border, found in a reduced copy.

    Attributes:
        coarse: where it is, with a margin, shape (rows, columns) of the reduced copy.
        colour: of the border, shape (3,).
        size: height and width of the raster.
    """

    coarse: NDArray[np.bool_]
    colour: NDArray[np.uint8]
    size: tuple[int, int]

    @classmethod
    def of(
        cls, border: NDArray[np.bool_], colour: NDArray[np.uint8], size: tuple[int, int]
    ) -> "CoarseBorder":
        """Return the border found in a reduced copy, shape (rows, columns)."""
        from scipy.ndimage import binary_dilation  # noqa: PLC0415

        return cls(binary_dilation(border), colour, size)

    def within(self, pixels: NDArray[np.uint8], rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Return where the border is in a window, from its pixels (rows, columns, 3)."""
        down, across = (
            np.arange(part.start, part.stop) * count // length
            for part, count, length in zip(
                (rows, columns), self.coarse.shape, self.size, strict=True
            )
        )
        return self.coarse[np.ix_(down, across)] & near_colour(pixels, self.colour)


def border_of(values: NDArray[Any], seen_share: float = 0.0) -> NDArray[np.bool_] | None:
    """Find the constant border of an image.

    Args:
        values: stored values, shape (height, width, bands).
        seen_share: largest share of a border in the other images of the set. If some have one, one
            of up to this size is also found in an image that is dark beside it.

    Returns:
        Where the border is, shape (height, width); ``None`` if there is none.
    """
    if min(values.shape[:2]) < 8:
        return None
    around = _border_around(values, seen_share) if _corners_agree(values) else None
    return _bars(values) if around is None else around


def may_have_border(values: NDArray[Any]) -> bool:
    """Return whether an image may have a border: quick, since few images pass.

    The arguments are those of :func:`border_of`.
    """
    return _corners_agree(values) or any(_is_bar(lines[:1]) for lines in _sides(values))


def _corners_agree(values: NDArray[Any]) -> bool:
    """Return whether the four corners are of one colour, and that is black or white."""
    first = values[0, 0]
    corners = [values[row, column] for row in (0, -1) for column in (0, -1)]
    if not all(near_colour(corner, first).all() for corner in corners):
        return False
    return _is_extreme(values, first, lightest=True)


def _is_extreme(values: NDArray[Any], colour: NDArray[Any], *, lightest: bool) -> bool:
    """Return whether a colour is the darkest of an image, or the lightest."""
    if values.dtype == np.uint8:
        return bool((colour <= DARKEST).all() or (lightest and (colour >= LIGHTEST).all()))
    if colour.dtype.kind == "f" and not np.isfinite(colour).all():
        return False
    some = values[:: max(1, len(values) // 64), :: max(1, values.shape[1] // 64)]
    low, high = np.nanmin(some, axis=(0, 1)), np.nanmax(some, axis=(0, 1))
    extreme = (colour <= low).all() or (lightest and (colour >= high).all())
    return bool(extreme and (low < high).any())


def _border_around(values: NDArray[Any], seen_share: float) -> NDArray[np.bool_] | None:
    """Return the border around a convex picture."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415

    height, width = values.shape[:2]
    step = max(1, -(-max(height, width) // COARSE_SIDE))
    outside = _constant_region(values[::step, ::step])
    if outside is None:
        return None
    hull = _hull(~outside)
    if hull is None or not _is_border(outside, hull, seen_share):
        return None
    if step > 1:
        # Exact to the pixel near the coarse outline.
        coarse = Image.fromarray(binary_dilation(~hull)).resize((width, height), 0)
        return np.asarray(coarse) & near_colour(values, values[0, 0])
    return ~hull & near_colour(values, values[0, 0])


def _bars(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return black bars along some edges, as of an image that was padded to a square."""
    border = np.zeros(values.shape[:2], np.bool_)
    for lines, within in zip(_sides(values), _sides(border), strict=True):
        if not _is_bar(lines[:1]) or not _is_extreme(values, lines[0, 0], lightest=False):
            continue
        count = int(near_colour(lines, lines[0, 0]).all(axis=1).argmin())
        if count < SMALLEST * len(lines) or not _is_bar(lines[:count]):
            continue
        # What follows the bar, behind the noise of compression, is clearly something else.
        after = near_colour(lines[min(count + NOISY_LINES, len(lines) - 1)], lines[0, 0])
        if after.mean() <= MOST_ALIKE:
            within[:count] = True
    return border if SMALLEST <= border.mean() <= LARGEST else None


def _sides(array: NDArray[Kind]) -> list[NDArray[Kind]]:
    """Return an array four times, with the upper, lower, left and right edge first."""
    turned = array.swapaxes(0, 1)
    return [array, array[::-1], turned, turned[::-1]]


def _is_bar(lines: NDArray[Any]) -> bool:
    """Return whether lines of an image are of one colour."""
    near = near_colour(lines, lines[0, 0])
    return bool(near.all() and (lines == lines[0, 0]).all(axis=-1).mean() >= EXACT_SHARE)


def near_colour(values: NDArray[Any], colour: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels (..., bands) have a colour, up to the noise of compression."""
    if values.dtype == np.uint8:
        near = np.abs(values.astype(np.int16) - colour.astype(np.int16)) <= NOISE
    else:
        near = values == colour
    return np.asarray(near.all(axis=-1))


def _constant_region(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return the pixels of the corners' colour that are connected to the image's edge."""
    from scipy.ndimage import label  # noqa: PLC0415

    near = near_colour(values, values[0, 0])
    regions, _ = label(near)
    edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    outside: NDArray[np.bool_] = np.isin(regions, np.unique(edge[edge > 0]))
    corner = values[0, 0]
    exact = (values[outside] == corner).all(axis=-1).mean()
    return outside if exact >= EXACT_SHARE else None


def _hull(inside: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return the convex hull of a region, of the same shape; ``None`` if it has no area."""
    from scipy.spatial import ConvexHull, QhullError  # noqa: PLC0415

    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows) < 3:
        return None
    first = inside[rows].argmax(axis=1)
    last = inside.shape[1] - 1 - inside[rows, ::-1].argmax(axis=1)
    points = np.concatenate([np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)])
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:
        return None
    canvas = Image.new("1", (inside.shape[1], inside.shape[0]))
    ImageDraw.Draw(canvas).polygon([(int(x), int(y)) for x, y in corners], fill=1, outline=1)
    return np.array(canvas)


def _is_border(outside: NDArray[np.bool_], hull: NDArray[np.bool_], seen_share: float) -> bool:
    share = 1 - hull.mean()
    if not SMALLEST <= share <= LARGEST:
        return False
    if share <= 1.1 * seen_share:
        return True
    inside = ~outside
    if inside.sum() < LEAST_CONVEX * hull.sum():
        return False
    rows, columns = (np.flatnonzero(hull.any(axis=axis)) for axis in (1, 0))
    box = (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    filled = max(box[0] / hull.shape[0], box[1] / hull.shape[1]) >= LEAST_ACROSS
    return bool(filled or inside.sum() >= LEAST_CONVEX * box[0] * box[1])
