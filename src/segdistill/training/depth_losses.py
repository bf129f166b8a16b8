"""DepthG's losses at the locations of a batch: the depth term and local hidden positives."""

import torch
from torch import nn

from segdistill.config.settings import FitSettings
from segdistill.objective.correspondence import correspondence
from segdistill.objective.depth_correlation import (
    depth_correlation_loss,
    depth_similarity,
    released_depth_correlation,
)
from segdistill.objective.local_hidden_positives import (
    attention_weights,
    near_weights,
    released_attention_weights,
    released_near_weights,
)
from segdistill.objective.schedules import depth_shift_at
from segdistill.objective.stego import SampledMaps, Shifts, stego_objective
from segdistill.training.batches import Batch
from segdistill.training.depth_guidance import SampledDepth
from segdistill.training.drawing import Parts

PRODUCT_SHIFT = 0.03
"""DepthG's shift of its depth term (0.03 to 0.0359 on COCO-Stuff and Cityscapes)."""


def depth_term(
    codes: torch.Tensor, depth: SampledDepth, shifts: Shifts, settings: FitSettings, *, step: int
) -> torch.Tensor:
    """Return DepthG's depth term: codes of an image should agree where its depths do.

    Args:
        codes: codes at the locations, shape (batch, locations, channels).
        shifts: loss shifts, including the initial shift of the depth term.
        step: the training step, counted from 0.
    """
    return depth_correlation_loss(
        compared_depths(depth, settings),
        correspondence(codes, codes),
        depth_shift_at(settings, shifts.depth_pairs, step),
        zero_clamp=settings.objective.zero_clamp,
        stabilize=settings.objective.stabilize,
    ).mean()


def compared_depths(depth: SampledDepth, settings: FitSettings) -> torch.Tensor:
    """Return the depth similarity of all pairs of locations in each image.

    Values are in 0..1, NaN where a depth is unknown; the shape is (batch, locations, locations).
    """
    if settings.depth.as_released:
        side = round(depth.shares.shape[1] ** 0.5)
        grids = depth.shares.nan_to_num(nan=0.0).view(-1, side, side)
        return released_depth_correlation(grids, side)
    return depth_similarity(depth.shares, depth.points, kind=settings.depth.similarity)


def depth_shift(depth: SampledDepth, settings: FitSettings) -> float:
    """Return the depth term's shift: from the settings, DepthG's, or the median similarity."""
    if settings.depth.shift is not None:
        return settings.depth.shift
    if settings.depth.similarity == "product" or settings.depth.as_released:
        return PRODUCT_SHIFT
    similarity = compared_depths(depth, settings)
    known = similarity[similarity.isfinite()]
    return float(known.median()) if len(known) else 0.0


def hidden_positives_term(
    second_head: nn.Module,
    parts: Parts[SampledMaps],
    depth: Parts[SampledDepth],
    batch: Batch,
    shifts: Shifts,
    settings: FitSettings,
) -> torch.Tensor:
    """Return STEGO's objective for the second head's codes.

    The second head takes codes averaged over related locations, by depth or by features, and its
    gradients also train the first head.
    """

    def averaged(part: SampledMaps, sampled: SampledDepth) -> SampledMaps:
        codes = second_head(_weights(part, sampled, settings) @ part.codes)
        return SampledMaps(part.features, codes)

    own = averaged(parts.anchors, depth.anchors)
    if batch.neighbour_of is not None:
        all_parts = Parts(own, own.paired(batch.neighbour_of), own)
    else:
        all_parts = Parts(
            own,
            averaged(parts.positives, depth.positives),
            averaged(parts.negatives, depth.negatives),
        )
    terms = stego_objective(*all_parts, batch.partners, shifts, settings.objective)
    return terms.total(settings.objective)


def _weights(part: SampledMaps, depth: SampledDepth, settings: FitSettings) -> torch.Tensor:
    released = settings.depth.as_released
    if settings.depth.hidden_positives == "depth":
        return (released_near_weights if released else near_weights)(depth.points)
    if depth.attention is not None:
        attention = depth.attention
    else:
        attention = correspondence(part.features, part.features).clamp_min(0)[:, None]
    return (released_attention_weights if released else attention_weights)(attention)
