"""Farthest point sampling: points that cover a scene evenly, as DepthG picks its locations.

Eldar et al., The farthest point strategy for progressive image sampling (IEEE Transactions on Image
Processing, 1997).
"""

import numpy as np
import torch


def farthest_points(
    points: torch.Tensor,
    count: int,
    *,
    first: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Take points one by one, each the farthest from those taken before it.

    Args:
        points: shape (batch, points, dimensions). Points with a coordinate that is not finite are
            never taken.
        count: how many to take of each image.
        first: the point to start from, indices of shape (batch,), each a valid one; drawn if not
            given.
        valid: which points may be taken, bool, shape (batch, points); all if not given.
        generator: source of randomness for the first points.

    Returns:
        Indices in the order taken, int64, shape (batch, count). An image with fewer valid points
        than ``count`` takes them over again, in the same order. An image without any has no
        meaningful answer: it takes its first point only.

    Raises:
        ValueError: there are no points, or none to take.

    Example:
        >>> line = torch.tensor([0.0, 1.0, 2.0, 10.0]).view(1, 4, 1)
        >>> farthest_points(line, 3, first=torch.tensor([0]))
        tensor([[0, 3, 2]])
    """
    batch, available, _ = points.shape
    if count < 1 or available < 1:
        raise ValueError(f"can't take {count} of {available} points: both must be at least 1")
    with torch.no_grad():
        # The largest is not finite where any is not; several times faster than asking them all.
        usable = points.abs().amax(dim=2).isfinite()
        if valid is not None:
            usable = usable & valid
        if first is None:
            first = _draw(usable, generator)
        finite = points.float().nan_to_num(0.0, 0.0, 0.0)
        order = _order(finite, usable, first, min(count, available))
        # Ranks start over where the valid points end.
        ends = usable.sum(dim=1, keepdim=True).clamp(1, order.shape[1])
        ranks = torch.arange(count, device=points.device).expand(batch, count) % ends
        return order.gather(1, ranks)


def locations_of_cells(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return where the centres of cells lie.

    Args:
        cells: row-major indices into a map, shape (batch, locations).
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        Tensor of shape (batch, locations, 2) of (x, y) in -1..1, where -1 and 1 are the centres of
        the outermost cells, as :func:`~segdistill.objective.sampling.sample_map` takes them.

    Example:
        >>> locations_of_cells(torch.tensor([[0, 2, 5]]), 2, 3)
        tensor([[[-1., -1.],
                 [ 1., -1.],
                 [ 1.,  1.]]])
    """
    x = (cells % width) / max(width - 1, 1) * 2 - 1
    y = (cells // width) / max(height - 1, 1) * 2 - 1
    return torch.stack([x, y], dim=2)


def released_locations_of_cells(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return locations as DepthG's released code does.

    They are transposed, and a cell short at the far edge.

    Rows come first where the sampler takes x, and rows and columns are divided by their number.

    Args:
        cells: row-major indices into a map, shape (batch, locations).
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        Tensor of shape (batch, locations, 2), in -1..1.

    Example:
        >>> released_locations_of_cells(torch.tensor([[0, 2]]), 4, 4)
        tensor([[[-1., -1.],
                 [-1.,  0.]]])
    """
    rows = (cells // width) / height * 2 - 1
    columns = (cells % width) / width * 2 - 1
    return torch.stack([rows, columns], dim=2)


def _draw(usable: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Draw one usable point an image, evenly."""
    source = "cpu" if generator is None else generator.device
    keys = torch.rand(usable.shape, generator=generator, device=source).to(usable.device)
    return keys.masked_fill(~usable, -1.0).argmax(dim=1)


def _order(
    points: torch.Tensor, usable: torch.Tensor, first: torch.Tensor, count: int
) -> torch.Tensor:
    """Return the order of the usable points; what follows when these are taken is arbitrary."""
    # Each axis in one run of memory: (batch, points, dimensions) -> (dimensions, batch, points).
    axes = points.permute(2, 0, 1).contiguous()
    # Squared distance to the nearest point taken; -1 where a point is taken or must not be.
    nearest = torch.full_like(axes[0], torch.inf).masked_fill_(~usable, -1.0)
    on_cpu = points.device.type == "cpu"
    return (_order_on_cpu if on_cpu else _order_on_any_device)(axes, nearest, first, count)


def _order_on_any_device(
    axes: torch.Tensor, nearest: torch.Tensor, first: torch.Tensor, count: int
) -> torch.Tensor:
    last = first[:, None]
    order = [last]
    for _ in range(1, count):
        nearest.scatter_(1, last, -1.0)
        taken = axes.gather(2, last.expand(len(axes), -1, -1))  # (dimensions, batch, 1)
        torch.minimum(nearest, (axes - taken).square_().sum(dim=0), out=nearest)
        last = nearest.argmax(dim=1, keepdim=True)
        order.append(last)
    return torch.cat(order, dim=1)


def _order_on_cpu(
    axes: torch.Tensor, nearest: torch.Tensor, first: torch.Tensor, count: int
) -> torch.Tensor:
    """Return the same order, by NumPy, which does most of this several times faster than torch.

    Everything happens in place: a step takes microseconds, in which new memory would count.
    """
    dimensions, batch, available = axes.shape
    offset, taken = torch.empty_like(axes), axes.new_empty(dimensions, batch, 1)
    squares, cells = offset.numpy(), axes.flatten(1).numpy()
    squared, distance = squares[0], nearest.numpy()
    starts = np.arange(batch) * available
    order = np.empty((count, batch), np.int64)
    order[0] = first.numpy()
    for rank in range(1, count):
        last = starts + order[rank - 1]
        distance.put(last, -1.0)
        cells.take(last, axis=1, out=taken.numpy()[:, :, 0], mode="clip")
        torch.sub(axes, taken, out=offset)  # NumPy's broadcasts slowly along its last axis
        np.multiply(squares, squares, out=squares)
        for square in squares[1:]:
            np.add(squared, square, out=squared)
        np.minimum(distance, squared, out=distance)
        distance.argmax(axis=1, out=order[rank])
    return torch.from_numpy(order.T)
