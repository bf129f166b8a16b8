"""Farthest point sampling: points that cover a scene evenly, as DepthG picks its places.

Eldar et al., The farthest point strategy for progressive image sampling (IEEE Transactions on Image
Processing, 1997).
"""

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
        usable = points.isfinite().all(dim=2)
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


def places_of_cells(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return where the centres of cells lie.

    Args:
        cells: row-major indices into a map, shape (batch, places).
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        Tensor of shape (batch, places, 2) of (x, y) in -1..1, where -1 and 1 are the centres of
        the outermost cells, as :func:`~segdistill.objective.sampling.sample_map` takes them.

    Example:
        >>> places_of_cells(torch.tensor([[0, 2, 5]]), 2, 3)
        tensor([[[-1., -1.],
                 [ 1., -1.],
                 [ 1.,  1.]]])
    """
    x = (cells % width) / max(width - 1, 1) * 2 - 1
    y = (cells // width) / max(height - 1, 1) * 2 - 1
    return torch.stack([x, y], dim=2)


def released_places_of_cells(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return places as DepthG's released code does: transposed, and a cell short at the far edge.

    Rows come first where the sampler takes x, and rows and columns are divided by their number.

    Args:
        cells: row-major indices into a map, shape (batch, places).
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        Tensor of shape (batch, places, 2), in -1..1.

    Example:
        >>> released_places_of_cells(torch.tensor([[0, 2]]), 4, 4)
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
    # Each axis in one run of memory, shape (batch, points).
    first_axis, *other_axes = points.permute(2, 0, 1).contiguous().unbind()
    squared, offset = torch.empty_like(first_axis), torch.empty_like(first_axis)
    # Squared distance to the nearest point taken; -1 where a point is taken or must not be.
    nearest = torch.full_like(first_axis, torch.inf).masked_fill_(~usable, -1.0)
    order = torch.empty(count, len(points), 1, dtype=torch.long, device=points.device)
    order[0, :, 0] = first
    for rank in range(1, count):
        last = order[rank - 1]
        nearest.scatter_(1, last, -1.0)
        # In place throughout: memory, not arithmetic, takes the time.
        torch.sub(first_axis, first_axis.gather(1, last), out=squared)
        squared.mul_(squared)
        for axis in other_axes:
            torch.sub(axis, axis.gather(1, last), out=offset)
            squared.add_(offset.mul_(offset))
        torch.minimum(nearest, squared, out=nearest)
        order[rank, :, 0] = _largest(nearest)
    return order[:, :, 0].T


def _largest(values: torch.Tensor) -> torch.Tensor:
    """Return where each row is largest; where there are several, the first.

    NumPy's argmax is vectorised along rows and torch's is not: on the CPU it takes an eighth of the
    time, and this is the slowest part of a step.
    """
    if values.device.type == "cpu":
        return torch.from_numpy(values.numpy().argmax(axis=1))
    return values.argmax(dim=1)
