"""Sampling cells by depth: farthest points in space, or evenly over the depths.

Random locations mostly fall on whatever is largest in an image; depth, known before any class is,
helps to spread them over the scene. Everything is on the CPU, where batches are drawn beside
training. All functions return row-major indices of cells, int64, shape
(batch, count); :func:`~segdistill.objective.sampling.locations_of_cells` says where these lie.

Farthest points: Eldar et al., The farthest point strategy for progressive image sampling (IEEE
Transactions on Image Processing, 1997).
"""

import numpy as np
import torch

from segdistill.objective.scene_geometry import normalise_depth

BINS = 10
"""Ranges of depth that have the same share of the locations."""

FEATURE_COMPONENTS = 16


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
        count: number of points to take of each image.
        first: the point to start from, indices of shape (batch,), each a valid one; drawn if not
            given.
        valid: which points may be taken, bool, shape (batch, points); all if not given.
        generator: source of randomness for the first points.

    Returns:
        Indices in the order taken. An image with fewer valid points than ``count`` takes them over
        again, in the same order; an image without any takes its first point only.

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
            keys = torch.rand(usable.shape, generator=generator)
            first = keys.masked_fill(~usable, -1.0).argmax(dim=1)
        finite = points.float().nan_to_num(0.0, 0.0, 0.0)
        order = _order(finite, usable, first, min(count, available))
        # Ranks start over where the valid points end.
        ends = usable.sum(dim=1, keepdim=True).clamp(1, order.shape[1])
        ranks = torch.arange(count).expand(batch, count) % ends
        return order.gather(1, ranks)


def depth_and_feature_cells(
    points: torch.Tensor,
    features: torch.Tensor,
    count: int,
    *,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Take cells that are far apart in space and in features together.

    Farthest points under the squared distance ``|X[p] - X[q]|^2 / 2s + |f[p] - f[q]|^2 / 2t``,
    where X are points, f features' directions, and s and t the mean squared distances over the
    image, so that neither side's units matter.

    Args:
        points: cells in space, shape (batch, cells, 3); those not finite are never taken.
        features: features of the cells, all finite, shape (batch, cells, channels). Where there
            are more than 16 channels, the 16 dimensions along which most of an image's directions
            lie stand for all (approximately: they are found from a random start).
        count: cells an image.
        generator: source of randomness, for the first cells and the projection.

    Example:
        >>> points = torch.zeros(1, 4, 3)  # one wall; the features tell its parts apart
        >>> features = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> 3 in depth_and_feature_cells(points, features, 2)[0]
        True
    """
    with torch.no_grad():
        usable = points.isfinite().all(dim=2)
        in_space = _unit_spread(points, usable)
        in_features = _unit_spread(_main_directions(features.float(), generator), usable)
        joint = 0.5**0.5 * torch.cat([in_space, in_features], dim=2)
        return farthest_points(joint, count, valid=usable, generator=generator)


def depth_histogram_cells(
    depth: torch.Tensor, count: int, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw cells so that every range of depth that occurs in an image has the same share.

    An image's depths, nearest to farthest, are cut into :data:`BINS` equally wide bins. Bins that
    hold cells share the draw evenly, to within one, and so do the cells of a bin, in random order.
    A cell repeats only where its bin's share is larger than the bin.

    Args:
        depth: in any unit, shape (batch, height, width). Cells of unknown (not finite) depth are
            never drawn, unless an image has no others.
        count: cells an image.
        generator: source of randomness.

    Raises:
        ValueError: no cells to draw.

    Example:
        >>> depth = torch.tensor([[[1.0, 1.0, 1.0, 1.0, 1.0, 9.0]]])
        >>> drawn = depth_histogram_cells(depth, 4)
        >>> (drawn == 5).sum().item()  # half of the draw goes to the one far cell
        2
    """
    if count < 1:
        raise ValueError(f"can't draw {count} cells: it must be at least 1")
    with torch.no_grad():
        scaled = normalise_depth(depth).flatten(1)  # (batch, height, width) -> (batch, cells)
        # (batch, cells), -1 where depth is unknown
        cells_bins = (scaled * BINS).nan_to_num(-1.0).floor().clamp_max(BINS - 1).long()
        size = torch.zeros(len(depth), BINS + 1, dtype=torch.double)
        size.scatter_add_(1, cells_bins + 1, torch.ones_like(cells_bins, dtype=size.dtype))
        size[:, 0] = torch.inf  # the cells without depth share nothing
        weights = 1 / size.gather(1, cells_bins + 1)
        none_known = (weights == 0).all(dim=1, keepdim=True)
        weights = weights.masked_fill(none_known, 1.0)

        # Systematic resampling: equal steps along the cells laid out bin by bin, each as long as
        # its weight, in random order within a bin.
        keys = cells_bins + torch.rand(cells_bins.shape, generator=generator)
        by_bin = keys.argsort(dim=1)
        ends = weights.gather(1, by_bin).cumsum(dim=1)
        starts = torch.rand(len(depth), 1, generator=generator).double()
        steps = (torch.arange(count) + starts) / count * ends[:, -1:]
        found = torch.searchsorted(ends, steps, right=True).clamp_max(ends.shape[1] - 1)
        return by_bin.gather(1, found)


def _unit_spread(vectors: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
    """Centre vectors and scale them to a mean squared distance of 1; 0 where not usable."""
    weights = usable[:, :, None].to(vectors.dtype)
    number = weights.sum(dim=1, keepdim=True).clamp_min(1)
    known = vectors.where(usable[:, :, None], 0.0)
    centred = (known - known.sum(dim=1, keepdim=True) / number) * weights
    # The mean squared distance of all pairs is twice the variance.
    spread = 2 * centred.square().sum(dim=(1, 2), keepdim=True) / number
    return centred / spread.where(spread > 0, 1.0).sqrt()


def _main_directions(features: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Return features' directions, reduced to the few dimensions along which most of each lies.

    Randomised range finder with one power iteration (Halko, Martinsson and Tropp, SIAM Review
    2011). Lengths are divided out of the small products, which spares passes over all features.
    """
    channels = features.shape[2]
    lengths = torch.linalg.vector_norm(features, dim=2, keepdim=True).clamp_min(1e-10)
    if channels <= FEATURE_COMPONENTS:
        return features.div(lengths)
    start = torch.randn(channels, FEATURE_COMPONENTS, generator=generator)
    projected = features @ start / lengths.square()  # (batch, cells, components)
    basis: torch.Tensor = torch.linalg.qr(features.mT @ projected).Q  # (batch, channels, ...)
    return (features @ basis).div(lengths)


def _order(
    points: torch.Tensor, usable: torch.Tensor, first: torch.Tensor, count: int
) -> torch.Tensor:
    """Return the order of the usable points; what follows when these are taken is arbitrary.

    By NumPy, which does most of this several times faster than torch. Everything happens in place:
    a step takes microseconds, in which new memory would count.
    """
    # Each axis in one run of memory: (batch, points, dimensions) -> (dimensions, batch, points).
    axes = points.permute(2, 0, 1).contiguous()
    dimensions, batch, available = axes.shape
    offset, taken = torch.empty_like(axes), axes.new_empty(dimensions, batch, 1)
    squares, cells = offset.numpy(), axes.flatten(1).numpy()
    squared = squares[0]
    # Squared distance to the nearest point taken; -1 where a point is taken or must not be.
    distance = np.where(usable.numpy(), np.float32(np.inf), np.float32(-1))
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
