"""Sampling cells by depth, beside the farthest points: by histogram, and with features.

Random locations mostly fall on whatever is largest in an image; depth, known before any class is,
helps to spread them over the scene. All functions return cells; see
:func:`~segdistill.objective.farthest_points.locations_of_cells` for where these lie.
"""

import torch

from segdistill.objective.farthest_points import farthest_points
from segdistill.objective.scene_geometry import normalise_depth

_FEATURE_COMPONENTS = 16


def depth_histogram_cells(
    depth: torch.Tensor,
    count: int,
    *,
    bins: int = 10,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw cells so that every range of depth that occurs in an image has the same share.

    An image's depths, nearest to farthest, are cut into equally wide bins. Bins that hold cells
    share the draw evenly, to within one, and so do the cells of a bin, in random order.

    Args:
        depth: in any unit, shape (batch, height, width). Cells of unknown (not finite) depth are
            never drawn, unless an image has no others.
        count: cells an image.
        bins: ranges of depth.
        generator: source of randomness.

    Returns:
        Row-major indices, int64, shape (batch, count), ordered by bin. A cell repeats only where
        its bin's share is larger than the bin.

    Raises:
        ValueError: no bins, or no cells to draw.

    Example:
        >>> depth = torch.tensor([[[1.0, 1.0, 1.0, 1.0, 1.0, 9.0]]])
        >>> drawn = depth_histogram_cells(depth, 4, bins=2)
        >>> (drawn == 5).sum().item()  # half of the draw goes to the one far cell
        2
    """
    if bins < 1 or count < 1:
        raise ValueError(f"can't draw {count} cells from {bins} bins: both must be at least 1")
    with torch.no_grad():
        cells_bins = _bins(depth, bins)  # (batch, cells), -1 where depth is unknown
        size = torch.zeros(len(depth), bins + 1, dtype=torch.double, device=depth.device)
        size.scatter_add_(1, cells_bins + 1, torch.ones_like(cells_bins, dtype=size.dtype))
        size[:, 0] = torch.inf  # the cells without depth share nothing
        weights = 1 / size.gather(1, cells_bins + 1)
        none_known = (weights == 0).all(dim=1, keepdim=True)
        weights = weights.masked_fill(none_known, 1.0)

        # Systematic resampling: equal steps along the cells laid out bin by bin, each as long as
        # its weight, in random order within a bin.
        keys = cells_bins + _uniform(cells_bins.shape, depth, generator)
        by_bin = keys.argsort(dim=1)
        ends = weights.gather(1, by_bin).cumsum(dim=1)
        starts = _uniform((len(depth), 1), depth, generator).double()
        steps = (torch.arange(count, device=depth.device) + starts) / count * ends[:, -1:]
        found = torch.searchsorted(ends, steps, right=True).clamp_max(ends.shape[1] - 1)
        return by_bin.gather(1, found)


def depth_and_feature_cells(
    points: torch.Tensor,
    features: torch.Tensor,
    count: int,
    *,
    feature_share: float = 0.5,
    valid: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Take cells that are far apart in space and in features together.

    Farthest points under the squared distance ``(1 - w) |X[p] - X[q]|^2 / s + w |f[p] - f[q]|^2 /
    t``, where X are points, f features' directions, w the features' share, and s and t the mean
    squared distances over the image, so that neither side's units matter.

    Args:
        points: cells in space, shape (batch, cells, 3); see
            :func:`~segdistill.objective.scene_geometry.unproject`.
        features: of the cells, all finite, shape (batch, cells, channels). Where there are more
            than 16 channels, the 16 dimensions along which most of an image's directions lie stand
            for all (approximately: they are found from a random start).
        count: cells an image.
        feature_share: w, in 0..1.
        valid: which cells may be taken, bool, shape (batch, cells).
        generator: source of randomness, for the first cells and the projection.

    Returns:
        Indices in the order taken, int64, shape (batch, count); see
        :func:`~segdistill.objective.farthest_points.farthest_points`.

    Raises:
        ValueError: a share outside 0..1.

    Example:
        >>> points = torch.zeros(1, 4, 3)  # one wall; the features tell its parts apart
        >>> features = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> 3 in depth_and_feature_cells(points, features, 2)[0]
        True
    """
    if not 0 <= feature_share <= 1:
        raise ValueError(f"feature_share is {feature_share}: it must lie between 0 and 1")
    with torch.no_grad():
        usable = points.isfinite().all(dim=2)
        if valid is not None:
            usable = usable & valid
        in_space = _unit_spread(points, usable)
        in_features = _unit_spread(_main_directions(features.float(), generator), usable)
        joint = torch.cat(
            [(1 - feature_share) ** 0.5 * in_space, feature_share**0.5 * in_features], dim=2
        )
        return farthest_points(joint, count, valid=usable, generator=generator)


def _bins(depth: torch.Tensor, bins: int) -> torch.Tensor:
    """Return each cell's bin, int64, shape (batch, cells); -1 where depth is unknown."""
    scaled = normalise_depth(depth).flatten(1)  # (batch, height, width) -> (batch, cells)
    return (scaled * bins).nan_to_num(-1.0).floor().clamp_max(bins - 1).long()


def _uniform(
    shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator | None
) -> torch.Tensor:
    """Draw from 0..1 where the generator lives, for use where a tensor does."""
    source = "cpu" if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=source).to(like.device)


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
    if channels <= _FEATURE_COMPONENTS:
        return features.div(lengths)
    source = "cpu" if generator is None else generator.device
    start = torch.randn(channels, _FEATURE_COMPONENTS, generator=generator, device=source)
    projected = features @ start.to(features) / lengths.square()  # (batch, cells, components)
    basis: torch.Tensor = torch.linalg.qr(
        features.mT @ projected
    ).Q  # (batch, channels, components)
    return (features @ basis).div(lengths)
