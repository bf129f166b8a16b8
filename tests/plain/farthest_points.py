"""Farthest point sampling in its plain form: the running minimum of one image's points."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def plain_farthest_points(points: NDArray[Any], count: int, first: int) -> list[int]:
    """Take points one by one, each the farthest from those taken before it.

    Args:
        points: of one image, shape (points, dimensions).
        count: how many to take.
        first: the point to start from.
    """
    order = [first]
    nearest = np.full(len(points), np.inf)
    while len(order) < count:
        nearest = np.minimum(nearest, ((points - points[order[-1]]) ** 2).sum(axis=1))
        order.append(int(nearest.argmax()))
    return order
