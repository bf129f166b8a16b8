"""The mean correspondence loss and its gradient in one pass, without keeping any table of pairs.

Every pair of locations has a loss, so the plain form keeps several tables of batch x locations x
locations for the backward pass. The gradient is known as soon as the loss is, so here both are
computed together, a few images at a time, and only the gradient of the codes is kept.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from segdistill.objective.correspondence import clamp_code_correlation

PAIRS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 24, "mps": 1 << 24}
"""Bounds each table of pairs that exists for a while: on the CPU to 256 KiB, so that it stays in
the cache; elsewhere to 64 MiB, since many small portions would keep the device waiting."""


def mean_correspondence_loss(
    features: torch.Tensor,
    other_features: torch.Tensor,
    codes: torch.Tensor,
    other_codes: torch.Tensor,
    shift: float,
    *,
    partners: torch.Tensor | None = None,
    pointwise: bool = True,
    zero_clamp: bool = True,
    stabilize: bool = False,
) -> torch.Tensor:
    """Return L of STEGO's equation 4, averaged over all pairs of locations.

    The same number and gradient as the mean of
    :func:`~segdistill.objective.correspondence.correspondence_loss`, in bounded memory. Vectors
    have unit length already, so that a map that is compared with several others is normalised once.

    Args:
        features: unit vectors, shape (batch, locations, feature channels); no gradient flows into
            them.
        other_features: shape (others, other locations, feature channels).
        codes: unit vectors, shape (batch, locations, code channels).
        other_codes: shape (others, other locations, code channels).
        shift: b; larger means that fewer pairs attract.
        partners: which of the others each map is compared with, shape (batch,); by default the
            one of its own number.
        pointwise: see :func:`~segdistill.objective.correspondence.centre_pointwise`.
        zero_clamp: see :func:`~segdistill.objective.correspondence.clamp_code_correlation`.
        stabilize: see :func:`~segdistill.objective.correspondence.clamp_code_correlation`.

    Returns:
        Scalar tensor. It can be differentiated once.

    Example:
        >>> features = torch.tensor([[[1.0, 0.0]]])
        >>> codes = torch.tensor([[[0.6, 0.8]]])
        >>> loss = mean_correspondence_loss(
        ...     features, features, codes, torch.tensor([[[1.0, 0.0]]]), 0.5, pointwise=False
        ... )
        >>> round(loss.item(), 4)
        -0.3
    """
    with torch.no_grad():
        level = torch.full((), -shift, dtype=features.dtype, device=features.device)
        # Correlations are linear in a partner's features: to take the mean over its locations from
        # the features is to take it from each location's correlations with them.
        means = None
        if pointwise:
            means = other_features.mean(dim=1, keepdim=True)  # (others, 1, feature channels)
            met = means if partners is None else means[partners]
            level = level + (features.mean(dim=1, keepdim=True) * met).sum(dim=2).mean()
    clamps = {"zero_clamp": zero_clamp, "stabilize": stabilize}
    loss: torch.Tensor = _MeanLoss.apply(
        codes, other_codes, features, other_features, means, level, partners, clamps
    )  # type: ignore[no-untyped-call]
    return loss


class _MeanLoss(torch.autograd.Function):
    """``- mean(clamp(c . c') * (f . (f' - mean f') + level))``, differentiable by the codes."""

    @staticmethod
    def forward(
        ctx: Any,
        codes: torch.Tensor,
        other_codes: torch.Tensor,
        features: torch.Tensor,
        other_features: torch.Tensor,
        means: torch.Tensor | None,
        level: torch.Tensor,
        partners: torch.Tensor | None,
        clamps: dict[str, bool],
    ) -> torch.Tensor:
        batch, pairs = len(codes), codes.shape[1] * other_codes.shape[1]
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradient, other_gradient = torch.empty_like(codes), torch.zeros_like(other_codes)
        total = codes.new_zeros(())
        for own in _portions(batch, pairs, codes.device):
            theirs = own if partners is None else partners[own]
            met = other_features[theirs]
            if means is not None:
                met = met - means[theirs]
            agreement = (features[own] @ met.mT).add_(level)
            mine, others = codes[own], other_codes[theirs]
            similarity = mine @ others.mT  # (images, locations, other locations)
            limited = clamp_code_correlation(similarity, **clamps)
            if wanted:
                free = limited == similarity  # where the clamp lets the gradient through
            total -= limited.mul_(agreement).sum()
            if wanted:
                agreement.mul_(free)
                gradient[own] = agreement @ others
                contribution = agreement.mT @ mine
                if partners is None:
                    other_gradient[own] = contribution
                else:  # two maps may have the same partner
                    other_gradient.index_add_(0, partners[own], contribution)
        pairs *= batch
        ctx.save_for_backward(gradient.div_(-pairs), other_gradient.div_(-pairs))
        return total / pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient, other_gradient = ctx.saved_tensors
        return gradient * upstream, other_gradient * upstream, *[None] * 6


def _portions(batch: int, pairs: int, device: torch.device) -> Iterator[slice]:
    """Split a batch into so many images at a time as :data:`PAIRS_AT_ONCE` allows."""
    bound = PAIRS_AT_ONCE.get(device.type, PAIRS_AT_ONCE["cpu"])
    images = max(1, bound // max(pairs, 1))
    for start in range(0, batch, images):
        yield slice(start, min(start + images, batch))
