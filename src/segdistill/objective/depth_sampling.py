"""Depth-based sampling of cells: farthest points in space, or evenly over depth.

Random locations mostly fall on the largest things in an image. Depth, which is known before any
classes are, helps to spread them over the scene. Everything runs on the CPU, where batches are
drawn in parallel with training. All functions return row-major cell indices, int64, shape (batch,
count); :func:`~segdistill.objective.sampling.locations_of_cells` converts them to locations.

Farthest points: Eldar et al., "The farthest point strategy for progressive image sampling" (IEEE
Transactions on Image Processing, 1997).
"""

import numpy as np
import torch

from segdistill.objective.scene_geometry import normalise_depth

BINS = 10
"""Number of depth ranges, each of which gets an equal share of the locations."""

FEATURE_COMPONENTS = 16


def farthest_points(
    points: torch.Tensor,
    count: int,
    *,
    first: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Sample points one by one, each the farthest from all points sampled before it.

    Args:
        points: points of shape (batch, points, dimensions). Points with a non-finite coordinate are
            never sampled.
        count: number of points to sample per image.
        first: index of the valid point to start from in each image, shape (batch,); random by
            default.
        valid: mask of the points that may be sampled, bool, shape (batch, points); all by default.
        generator: random number generator for the first points.

    Returns:
        Indices in sampling order. An image with fewer valid points than ``count`` repeats them in
        the same order; an image with none repeats its first point.

    Raises:
        ValueError: there are no points, or ``count`` is less than 1.

    Example:
        >>> line = torch.tensor([0.0, 1.0, 2.0, 10.0]).view(1, 4, 1)
        >>> farthest_points(line, 3, first=torch.tensor([0]))
        tensor([[0, 3, 2]])
    """
    batch, available, _ = points.shape
    if count < 1 or available < 1:
        raise ValueError(f"can't take {count} of {available} points: both must be at least 1")
    with torch.no_grad():
        # The maximum is non-finite if any value is; several times faster than checking each value.
        usable = points.abs().amax(dim=2).isfinite()
        if valid is not None:
            usable = usable & valid
        if first is None:
            keys = torch.rand(usable.shape, generator=generator)
            first = keys.masked_fill(~usable, -1.0).argmax(dim=1)
        finite = points.float().nan_to_num(0.0, 0.0, 0.0)
        order = _order(finite, usable, first, min(count, available))
        # Ranks wrap around once the valid points run out.
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
    """Sample cells that are far apart in space and features jointly.

    Samples farthest points under the squared distance
    ``|X[p] - X[q]|^2 / 2s + |f[p] - f[q]|^2 / 2t``, where X are points, f are unit features, and s
    and t are the mean squared distances over the image, so that the units of neither matter.

    Args:
        points: 3D points of the cells, shape (batch, cells, 3); non-finite ones are never sampled.
        features: finite features of the cells, shape (batch, cells, channels). More than 16
            channels are projected to the 16 main dimensions of each image (approximately, by a
            randomised method).
        count: number of cells per image.
        generator: random number generator for the first cells and the projection.

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
    """Draw cells so that every depth range present in an image gets an equal share.

    The depths of each image, from nearest to farthest, are split into :data:`BINS` bins of equal
    width. The draw is divided evenly, to within one, over the non-empty bins and over the cells in
    each bin, in random order. A cell repeats only if its bin's share exceeds the size of the bin.

    Args:
        depth: depth in any unit, shape (batch, height, width). Cells of unknown (non-finite) depth
            are never drawn, unless an image has no others.
        count: number of cells per image.

    Raises:
        ValueError: ``count`` is less than 1.

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
        size[:, 0] = torch.inf  # cells without depth get no share
        weights = 1 / size.gather(1, cells_bins + 1)
        none_known = (weights == 0).all(dim=1, keepdim=True)
        weights = weights.masked_fill(none_known, 1.0)

        # Systematic resampling: equal steps along the cumulative weights of the cells, ordered by
        # bin and randomly within each bin.
        keys = cells_bins + torch.rand(cells_bins.shape, generator=generator)
        by_bin = keys.argsort(dim=1)
        ends = weights.gather(1, by_bin).cumsum(dim=1)
        starts = torch.rand(len(depth), 1, generator=generator).double()
        steps = (torch.arange(count) + starts) / count * ends[:, -1:]
        found = torch.searchsorted(ends, steps, right=True).clamp_max(ends.shape[1] - 1)
        return by_bin.gather(1, found)


def _unit_spread(vectors: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
    """Centre vectors and scale them to a mean squared distance of 1; unusable ones become 0."""
    weights = usable[:, :, None].to(vectors.dtype)
    number = weights.sum(dim=1, keepdim=True).clamp_min(1)
    known = vectors.where(usable[:, :, None], 0.0)
    centred = (known - known.sum(dim=1, keepdim=True) / number) * weights
    # The mean squared distance of all pairs is twice the variance.
    spread = 2 * centred.square().sum(dim=(1, 2), keepdim=True) / number
    return centred / spread.where(spread > 0, 1.0).sqrt()


def _main_directions(features: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Project unit features to the few dimensions that capture most of each image.

    Uses a randomised range finder with one power iteration (Halko, Martinsson and Tropp, SIAM
    Review 2011). Normalising the small products instead of the features saves passes over them.
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
    """Return the sampling order of the usable points; the order after these is arbitrary.

    Uses NumPy, which is several times faster than torch for most of this, and works in place: a
    step takes microseconds, so memory allocation would matter.
    """
    # Make each axis contiguous: (batch, points, dimensions) -> (dimensions, batch, points).
    axes = points.permute(2, 0, 1).contiguous()
    dimensions, batch, available = axes.shape
    offset, taken = torch.empty_like(axes), axes.new_empty(dimensions, batch, 1)
    squares, cells = offset.numpy(), axes.flatten(1).numpy()
    squared = squares[0]
    # Squared distance to the nearest sampled point; -1 for sampled or unusable points.
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
