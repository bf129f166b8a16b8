"""STEGO's correspondence loss (Hamilton et al., ICLR 2022, equations 1 to 4).

Locations are kept in one dimension here: a map sampled at S x S locations has P = S * S of them.
Training uses :func:`mean_correspondence_loss`, which never keeps a table of pairs;
:func:`correspondence_loss` is the same loss pair by pair.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

PAIRS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 24, "mps": 1 << 24}
"""Bounds each temporary table of pairs: on the CPU to 256 KiB, so that it stays in the cache;
elsewhere to 64 MiB, since many small portions would keep the device waiting."""


def correspondence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the cosine similarity of each location of one map with each location of another.

    Equation 1 of STEGO: ``F[p, q] = f[p] . g[q] / (|f[p]| |g[q]|)``.

    Args:
        first: shape (batch, locations, channels).
        second: shape (batch, other locations, channels).

    Returns:
        Tensor of shape (batch, locations, other locations), in -1..1.

    Example:
        >>> correspondence(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0], [3.0, 0.0]]]))
        tensor([[[0., 1.]]])
    """
    return unit_vectors(first) @ unit_vectors(second).mT


def unit_vectors(values: torch.Tensor) -> torch.Tensor:
    """Scale the vector at each location, shape (batch, locations, channels), to length 1 or 0."""
    # 1e-10 as in the released code, so that results agree even for nearly empty features.
    return F.normalize(values, dim=2, eps=1e-10)


def centre_pointwise(correlation: torch.Tensor) -> torch.Tensor:
    """Centre each location's correlations over its partners, keeping the overall mean.

    'Spatial centring', section 3.2 of STEGO: it balances locations that resemble everything against
    locations that resemble nothing.

    Args:
        correlation: shape (batch, locations, other locations).
    """
    centred = correlation - correlation.mean(dim=2, keepdim=True)
    return centred - centred.mean() + correlation.mean()


def clamp_code_correlation(
    correlation: torch.Tensor, *, zero_clamp: bool = True, stabilize: bool = False
) -> torch.Tensor:
    """Limit code correlations from below (at 0) and from above (at 0.8).

    Args:
        correlation: any shape, in -1..1.
        zero_clamp: anticorrelated codes pull no further (equation 4 of STEGO).
        stabilize: codes that agree already pull no further.
    """
    if zero_clamp or stabilize:
        return correlation.clamp(min=0.0 if zero_clamp else None, max=0.8 if stabilize else None)
    return correlation


def correspondence_loss(
    feature_correlation: torch.Tensor,
    code_correlation: torch.Tensor,
    shift: torch.Tensor | float,
    *,
    pointwise: bool = True,
    zero_clamp: bool = True,
    stabilize: bool = False,
) -> torch.Tensor:
    """Return the loss of each pair of locations; its mean is L of STEGO's equation 4.

    ``L[p, q] = - max(S[p, q], 0) * (F[p, q] - b)``, where F are feature correlations (centred if
    ``pointwise``), S code correlations and b the shift: pairs whose features agree by more than b
    attract each other's codes, the others repel.

    Args:
        feature_correlation: shape (batch, locations, other locations); no gradient flows into it.
        code_correlation: the same shape.
        shift: b; larger means that fewer pairs attract.
        pointwise: see :func:`centre_pointwise`.
        zero_clamp: see :func:`clamp_code_correlation`.
        stabilize: see :func:`clamp_code_correlation`.

    Returns:
        Tensor of shape (batch, locations, other locations).

    Example:
        >>> attract = correspondence_loss(
        ...     torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.5), 0.2, pointwise=False
        ... )
        >>> round(attract.mean().item(), 4)
        -0.4
    """
    feature_correlation = feature_correlation.detach()
    if pointwise:
        feature_correlation = centre_pointwise(feature_correlation)
    limited = clamp_code_correlation(code_correlation, zero_clamp=zero_clamp, stabilize=stabilize)
    return -limited * (feature_correlation - shift)


def quantile_shift(feature_correlation: torch.Tensor, quantile: float) -> torch.Tensor:
    """Return the shift below which a share of the pairs lies, from 0 to 1, as a scalar tensor.

    Correlations of different backbones and data sets lie in different ranges, so a shift that
    suits one does not suit the next; a share does. Centre correlations first if the loss does.
    """
    flat = feature_correlation.flatten()
    # kthvalue has no bound on the number of values, unlike torch.quantile.
    rank = min(max(round(quantile * flat.numel()), 1), flat.numel())
    return flat.kthvalue(rank).values


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
    """Return the mean of :func:`correspondence_loss` over all pairs, in bounded memory.

    The gradient is known as soon as the loss is, so both are computed together, a few images at a
    time, and only the gradient of the codes is kept. Vectors have unit length already, so that a
    map that is compared with several others is normalised once.

    Args:
        features: unit vectors, shape (batch, locations, feature channels); no gradient flows into
            them.
        other_features: shape (others, other locations, feature channels).
        codes: unit vectors, shape (batch, locations, code channels).
        other_codes: shape (others, other locations, code channels).
        shift: b; larger means that fewer pairs attract.
        partners: which of the others each map is compared with, shape (batch,); by default the
            one of its own number.
        pointwise: see :func:`centre_pointwise`.
        zero_clamp: see :func:`clamp_code_correlation`.
        stabilize: see :func:`clamp_code_correlation`.

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
    """Split a batch into as many images at a time as :data:`PAIRS_AT_ONCE` allows."""
    bound = PAIRS_AT_ONCE.get(device.type, PAIRS_AT_ONCE["cpu"])
    images = max(1, bound // max(pairs, 1))
    for start in range(0, batch, images):
        yield slice(start, min(start + images, batch))
