"""DepthG's depth term (Sick et al., CVPR 2024): codes agree where depths do.

Depth is used in training only: no gradient flows into it, and a trained model does not need it.
"""

from typing import Literal

import torch
import torch.nn.functional as F

from segdistill.objective.correspondence import correspondence_loss

SimilarityKind = Literal["product", "difference", "distance"]


def depth_similarity(
    depth: torch.Tensor, points: torch.Tensor | None = None, *, kind: SimilarityKind = "product"
) -> torch.Tensor:
    """Compare the depths of every pair of locations in an image.

    - ``product``: ``D[p, q] = d[p] d[q]``, DepthG's own form. Two far locations are similar and
      two near ones are not, so it mainly attracts far locations.
    - ``difference``: ``exp(- |d[p] - d[q]| / s)``.
    - ``distance``: ``exp(- |X[p] - X[q]|^2 / (2 s^2))`` between 3D points, so that
      two objects at the same depth but far apart are dissimilar.

    The scale s is computed per image by :func:`typical_distance`, so the units and scale of the
    depths do not matter, and outliers hardly do.

    Args:
        depth: depth at the locations, shape (batch, locations); for ``product`` in 0..1, as
            :func:`~segdistill.objective.scene_geometry.normalise_depth` returns it.
        points: 3D points of the same locations, shape (batch, locations, 3); only for ``distance``.
        kind: form of the similarity.

    Returns:
        Tensor of shape (batch, locations, locations), symmetric, in 0..1; NaN for pairs with a
        location of unknown (non-finite) depth.

    Raises:
        ValueError: ``kind`` is ``distance`` and no points are given.

    Example:
        >>> depth_similarity(torch.tensor([[0.0, 0.5, 1.0]]), kind="product")[0, 2].tolist()
        [0.0, 0.5, 1.0]
        >>> similar = depth_similarity(torch.tensor([[2.0, 2.0, 4.0]]), kind="difference")
        >>> [round(value, 2) for value in similar[0, 0].tolist()]
        [1.0, 1.0, 0.37]
    """
    with torch.no_grad():
        if kind == "product":
            known = depth.where(depth.isfinite(), torch.nan)
            return known[:, :, None] * known[:, None]
        if kind == "difference":
            apart = pairwise_distances(depth[:, :, None])
            return torch.exp(-apart / typical_distance(apart))
        if points is None:
            raise ValueError("similarity by distance takes the locations in space: give points")
        apart = pairwise_distances(points)
        return torch.exp(-(apart / typical_distance(apart)).square() / 2)


def pairwise_distances(points: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean distances of all pairs; NaN for pairs with a non-finite point.

    Args:
        points: points of shape (batch, locations, dimensions).

    Returns:
        Tensor of shape (batch, locations, locations).

    Example:
        >>> pairwise_distances(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[[0., 5.],
                 [5., 0.]]])
    """
    known = points.where(points.isfinite(), torch.nan)
    # Use differences: the matrix product that torch.cdist uses by default loses small distances.
    return torch.cdist(known, known, compute_mode="donot_use_mm_for_euclid_dist")


def typical_distance(distances: torch.Tensor) -> torch.Tensor:
    """Return the median distance between different locations of each image.

    The result is at least a hundredth of the largest distance, since the median is 0 if most of an
    image is a plane at one depth.

    Args:
        distances: pairwise distances, shape (batch, locations, locations), symmetric; NaN where
            unknown.

    Returns:
        Tensor of shape (batch, 1, 1), greater than 0; NaN for images without a known pair.

    Example:
        >>> typical_distance(torch.tensor([[[0.0, 3.0], [3.0, 0.0]]])).item()
        3.0
    """
    locations = distances.shape[1]
    if locations < 2:
        return distances.new_ones(len(distances), 1, 1)
    first, second = torch.triu_indices(locations, locations, offset=1, device=distances.device)
    pairs = distances[:, first, second]  # (batch, locations * (locations - 1) / 2)
    largest = pairs.nan_to_num(nan=0.0).amax(dim=1)
    scale = torch.maximum(pairs.nanmedian(dim=1).values, largest / 100)
    return scale.where(scale != 0, 1.0)[:, None, None]


def depth_correlation_loss(
    similarity: torch.Tensor, code_correlation: torch.Tensor, shift: float, **clamps: bool
) -> torch.Tensor:
    """Return DepthG's depth loss of each pair of locations.

    This is :func:`~segdistill.objective.correspondence.correspondence_loss` with depth similarities
    instead of feature correlations. The loss is 0 where the similarity is NaN: an unknown depth
    neither attracts nor repels.

    Args:
        similarity: depth similarities, shape (batch, locations, locations); no gradient flows into
            them.
        code_correlation: correlations between the codes of each image, the same shape.
        shift: shift b; fewer pairs attract as it increases.
        **clamps: see :func:`~segdistill.objective.correspondence.clamp_code_correlation`.

    Example:
        >>> one = torch.ones(1, 2, 2)
        >>> round(depth_correlation_loss(one, 0.5 * one, 0.2).mean().item(), 4)
        -0.4
    """
    known = similarity.where(~similarity.isnan(), shift)
    return correspondence_loss(known, code_correlation, shift, pointwise=False, **clamps)


def released_depth_correlation(depth: torch.Tensor, side: int) -> torch.Tensor:
    """Compare depths as DepthG's released code does, where all depths are alike.

    The depth map is resized to a fixed grid, regardless of the locations of the codes, and
    normalised over its single channel. Every depth, and so every product, becomes 1, and the term
    pulls all codes of an image together.

    Args:
        depth: depth in 0..1, shape (batch, height, width).
        side: side S of the grid, which has S x S locations.

    Returns:
        Tensor of shape (batch, S * S, S * S): 1, or 0 for pairs with a location of depth 0.

    Example:
        >>> released_depth_correlation(torch.rand(1, 9, 9) + 0.1, 2).unique().tolist()
        [1.0]
    """
    with torch.no_grad():
        small = F.interpolate(depth[:, None], (side, side), mode="bilinear", align_corners=False)
        known = F.normalize(small, dim=1, eps=1e-10).flatten(1)  # (batch, 1, S, S) -> (batch, S^2)
        return known[:, :, None] * known[:, None]
