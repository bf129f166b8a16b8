"""DepthG's depth term on the locations of a batch."""

import torch

from segdistill.config.settings import FitSettings
from segdistill.objective.correspondence import correspondence
from segdistill.objective.depth_correlation import (
    depth_correlation_loss,
    depth_similarity,
    released_depth_correlation,
)
from segdistill.objective.schedules import value_at
from segdistill.objective.stego import Shifts
from segdistill.training.batch import SampledDepth
from segdistill.training.depth_guidance import depth_schedules

PRODUCT_SHIFT = 0.03
"""DepthG's shift of its depth term (0.03 to 0.0359 on COCO-Stuff and Cityscapes)."""


def depth_term(
    codes: torch.Tensor,
    depth: SampledDepth,
    shifts: Shifts,
    settings: FitSettings,
    *,
    step: int,
) -> torch.Tensor:
    """Return DepthG's depth term: codes of an image agree where its depths do.

    Args:
        codes: at the locations, shape (batch, locations, channels).
        depth: there.
        shifts: hold the depth term's at the start.
        settings: of the fit.
        step: counted from 0.
    """
    schedule = depth_schedules(settings, shift=shifts.depth_pairs)["shift"]
    return depth_correlation_loss(
        compared_depths(depth, settings),
        correspondence(codes, codes),
        value_at(schedule, step, early=settings.depth.as_released),
        zero_clamp=settings.objective.zero_clamp,
        stabilize=settings.objective.stabilize,
    ).mean()


def compared_depths(depth: SampledDepth, settings: FitSettings) -> torch.Tensor:
    """Return how alike the depths of all pairs of locations of an image are.

    Args:
        depth: at the locations.
        settings: of the fit.

    Returns:
        Tensor of shape (batch, locations, locations), in 0..1, NaN where a depth is unknown.
    """
    if settings.depth.as_released:
        side = round(depth.shares.shape[1] ** 0.5)
        grids = depth.shares.nan_to_num(nan=0.0).view(-1, side, side)
        return released_depth_correlation(grids, side)
    return depth_similarity(depth.shares, depth.points, kind=settings.depth.similarity)


def depth_shift(depth: SampledDepth, settings: FitSettings) -> float:
    """Return the shift of the depth term: as given, as DepthG's, or what half of the pairs exceed.

    Args:
        depth: of a batch.
        settings: of the fit.
    """
    if settings.depth.shift is not None:
        return settings.depth.shift
    if settings.depth.similarity == "product" or settings.depth.as_released:
        return PRODUCT_SHIFT
    similarity = compared_depths(depth, settings)
    known = similarity[similarity.isfinite()]
    return float(known.median()) if len(known) else 0.0
