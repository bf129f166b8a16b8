"""Regions of images from outlines and from run lengths."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.teaching.answer_records import SkippedRecordError
from segdistill.teaching.answers import Region

LONGEST_GRID = 256
"""Cells on the longer side of a region's grid: some times finer than the features."""

LARGEST_NUMBER = 2.0**31
MIDDLE = 0.5


def grid_over(width: int, height: int) -> tuple[int, int]:
    """Return height and width of the grid for regions of an image.

    Example:
        >>> grid_over(1024, 512), grid_over(5, 4)
        ((128, 256), (4, 5))
    """
    scale = min(1.0, LONGEST_GRID / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def polygon_of(points: Sequence[tuple[float, float]] | NDArray[np.float64]) -> Any:
    """Return the shapely geometry of a closed outline, which may touch or cross itself.

    Raises:
        SkippedRecordError: fewer than three points.
        UserError: a coordinate is not a number.
    """
    if len(points) < 3:
        raise SkippedRecordError("an outline of fewer than three points")
    corners = np.array(points, dtype=np.float64)
    if not (np.abs(corners) <= LARGEST_NUMBER).all():  # NaN is not, either
        raise UserError("a coordinate that is not a position in an image; correct or remove it")
    return shapely.make_valid(shapely.Polygon(corners))


def middle_of_box(box: Any) -> Any:
    """Return the middle of a bounding box, which may be turned, half as wide and high.

    What a box is drawn around seldom fills its corners.
    """
    centre = shapely.get_coordinates(box.centroid)
    return shapely.transform(box, lambda corners: centre + (corners - centre) * MIDDLE)


def region_of_shape(shape: Any, width: int, height: int) -> Region:
    """Return the cells whose centres lie in a shape, or one cell if it is too small for that.

    Args:
        shape: a shapely geometry in pixels; what lies outside the image is cut off.
        width: width of the image, in pixels.
        height: height of it.

    Raises:
        UserError: the shape lies outside the image.

    Example:
        >>> region_of_shape(shapely.box(0, 0, 2, 1), 4, 2).runs
        (0, 2, 6)
    """
    grid = grid_over(width, height)
    x = (np.arange(grid[1]) + 0.5) * width / grid[1]
    y = (np.arange(grid[0]) + 0.5) * height / grid[0]
    left, top, right, bottom = shape.bounds
    columns = slice(np.searchsorted(x, left), np.searchsorted(x, right, "right"))
    rows = slice(np.searchsorted(y, top), np.searchsorted(y, bottom, "right"))
    inside = np.zeros(grid, np.bool_)
    shapely.prepare(shape)
    inside[rows, columns] = shapely.contains_xy(shape, *np.meshgrid(x[columns], y[rows]))
    if not inside.any():
        visible = shapely.intersection(shape, shapely.box(0, 0, width, height))
        if visible.is_empty:
            raise UserError(
                f"lies outside the image, which is {width} x {height} pixels; correct or remove it"
            )
        point = shapely.point_on_surface(visible)
        row, column = int(point.y * grid[0] / height), int(point.x * grid[1] / width)
        inside[min(row, grid[0] - 1), min(column, grid[1] - 1)] = True
    return Region.of(inside)


def region_of_runs(
    lengths: NDArray[np.int64],
    values: NDArray[np.bool_],
    size: tuple[int, int],
    order: Literal["C", "F"],
) -> Region:
    """Return the cells whose centres lie in a mask, or one cell if it is too small for that.

    Args:
        lengths: lengths of the runs of the mask, in pixels.
        values: whether each run lies inside.
        size: height and width of the mask.
        order: whether the runs follow rows (C) or columns (F).

    Raises:
        UserError: the runs do not fill the mask, or none of some length lies inside.

    Example:
        >>> region_of_runs(np.array([2, 4]), np.array([False, True]), (2, 3), "F").inside
        array([[False,  True,  True],
               [False,  True,  True]])
    """
    if lengths.sum() != size[0] * size[1]:
        raise UserError(
            f"run lengths of {lengths.sum()} pixels for a mask of {size[1]} x {size[0]}; export"
            " the file again"
        )
    if not lengths[values].sum():
        raise UserError("a mask without pixels; remove it")
    grid = grid_over(size[1], size[0])
    rows, columns = (
        (np.arange(cells) * 2 + 1) * side // (2 * cells)
        for cells, side in zip(grid, size, strict=True)
    )
    centres = np.ravel_multi_index(
        tuple(np.meshgrid(rows, columns, indexing="ij")), size, order=order
    )
    ends = np.cumsum(lengths)
    inside = values[np.searchsorted(ends, centres, side="right")]
    if not inside.any():
        longest = int(np.argmax(np.where(values, lengths, 0)))
        middle = int(ends[longest] - 1 - lengths[longest] // 2)
        row, column = (int(each) for each in np.unravel_index(middle, size, order=order))
        inside[row * grid[0] // size[0], column * grid[1] // size[1]] = True
    return Region.of(inside)
