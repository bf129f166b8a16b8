"""STEGO's correspondence loss (Hamilton et al., ICLR 2022, equations 1 to 4).

Locations are flattened: a map sampled at S x S locations has P = S * S of them. Training uses
:func:`mean_correspondence_loss`, which does not keep a table of pairs; :func:`correspondence_loss`
returns the same loss for each pair.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from segdistill.objective.portions import in_portions

PAIRS_ON_CPU = 1 << 16
"""Maximum number of pairs in a temporary table on the CPU: 256 KiB, to fit in the cache."""


def correspondence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the cosine similarity between all locations of two maps.

    Equation 1 of STEGO: ``F[p, q] = f[p] . g[q] / (|f[p]| |g[q]|)``.

    Args:
        first: vectors of shape (batch, locations, channels).
        second: vectors of shape (batch, other locations, channels).

    Returns:
        Tensor of shape (batch, locations, other locations), in -1..1.

    Example:
        >>> correspondence(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0], [3.0, 0.0]]]))
        tensor([[[0., 1.]]])
    """
    return unit_vectors(first) @ unit_vectors(second).mT


def unit_vectors(values: torch.Tensor) -> torch.Tensor:
    """Scale vectors of shape (batch, locations, channels) to unit length; zero stays zero."""
    # 1e-10 as in the released code, so that results agree even for near-zero features.
    return F.normalize(values, dim=2, eps=1e-10)


def centre_pointwise(correlation: torch.Tensor) -> torch.Tensor:
    """Centre each location's correlations over its partners, keeping the overall mean.

    Spatial centring, section 3.2 of STEGO: balances locations that are similar to everything and
    locations that are similar to nothing.

    Args:
        correlation: correlations of shape (batch, locations, other locations).
    """
    centred = correlation - correlation.mean(dim=2, keepdim=True)
    return centred - centred.mean() + correlation.mean()


def clamp_code_correlation(
    correlation: torch.Tensor, *, zero_clamp: bool = True, stabilize: bool = False
) -> torch.Tensor:
    """Clamp code correlations from below (at 0), from above (at 0.8), or both.

    Args:
        correlation: correlations in -1..1, any shape.
        zero_clamp: clamp at 0, so that anticorrelated codes get no gradient (equation 4 of STEGO).
        stabilize: clamp at 0.8, so that codes that already agree get no gradient.
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
    """Return the loss of each pair of locations; its mean is L in equation 4 of STEGO.

    ``L[p, q] = - max(S[p, q], 0) * (F[p, q] - b)``, where F are the feature correlations (centred
    if ``pointwise``), S the code correlations and b the shift. Codes attract each other if the
    feature correlation is greater than b, and repel each other otherwise.

    Args:
        feature_correlation: feature correlations of shape (batch, locations, other locations),
            treated as constant.
        code_correlation: code correlations of the same shape.
        shift: b; with a larger shift, fewer pairs attract each other.
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
    """Return a quantile (0..1) of the correlations, for use as the shift, as a scalar tensor.

    The range of correlations depends on the backbone and the data set, so a fixed shift does not
    transfer between them, but a quantile does. Centre the correlations first if the loss does.
    """
    flat = feature_correlation.flatten()
    # Unlike torch.quantile, kthvalue has no limit on the number of values.
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
    matrix_type: torch.dtype | None = None,
    threads: int = 1,
) -> torch.Tensor:
    """Return the mean of :func:`correspondence_loss` over all pairs, in bounded memory.

    Loss and gradient are computed together, a few images at a time, and only the gradient of the
    codes is kept. The inputs are unit vectors, so that a map that is compared with several others
    is normalised only once.

    Args:
        features: unit vectors of shape (batch, locations, feature channels), treated as constant.
        other_features: unit vectors of shape (others, other locations, feature channels), treated
            as constant.
        codes: unit vectors of shape (batch, locations, code channels).
        other_codes: unit vectors of shape (others, other locations, code channels).
        shift: b; with a larger shift, fewer pairs attract each other.
        partners: index of the other map that each map is compared with, shape (batch,); by
            default, the map with the same index. Of several draws, shape (draws, batch), the mean
            loss is returned.
        pointwise: see :func:`centre_pointwise`.
        zero_clamp: see :func:`clamp_code_correlation`.
        stabilize: see :func:`clamp_code_correlation`.
        matrix_type: the type of the products of features, if not their own. Those of codes, whose
            gradient is wanted, are not affected.
        threads: number of threads that compute portions of the batch on a CPU.

    Returns:
        Scalar tensor, which can be differentiated once.

    Example:
        >>> features = torch.tensor([[[1.0, 0.0]]])
        >>> codes = torch.tensor([[[0.6, 0.8]]])
        >>> loss = mean_correspondence_loss(
        ...     features, features, codes, torch.tensor([[[1.0, 0.0]]]), 0.5, pointwise=False
        ... )
        >>> round(loss.item(), 4)
        -0.3
    """
    draws = [None] if partners is None else list(partners.view(-1, len(codes)))
    with torch.no_grad():
        levels = torch.full((len(draws),), -shift, dtype=features.dtype, device=features.device)
        # Correlations are linear in the partner's features, so subtracting the mean over its
        # locations from the features is the same as subtracting it from the correlations.
        if pointwise:
            own = features.mean(dim=1, keepdim=True)  # (batch, 1, feature channels)
            means = other_features.mean(dim=1, keepdim=True)  # (others, 1, feature channels)
            met = [means if draw is None else means[draw] for draw in draws]
            levels += torch.stack([(own * each).sum(dim=2).mean() for each in met])
            other_features = other_features - means
        if matrix_type is not None:  # after the means were subtracted: differences are small
            features, other_features = features.to(matrix_type), other_features.to(matrix_type)
    clamps = {"zero_clamp": zero_clamp, "stabilize": stabilize}
    loss: torch.Tensor = _MeanLoss.apply(
        codes, other_codes, features, other_features, levels, draws, clamps, threads
    )  # type: ignore[no-untyped-call]
    return loss


class _MeanLoss(torch.autograd.Function):
    """``- mean(clamp(c . c') * (f . f' + level))``, differentiable in the codes.

    There is a level for each draw of partners; the mean is over draws, too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        codes: torch.Tensor,
        other_codes: torch.Tensor,
        features: torch.Tensor,
        other_features: torch.Tensor,
        levels: torch.Tensor,
        draws: Sequence[torch.Tensor | None],
        clamps: dict[str, bool],
        threads: int,
    ) -> torch.Tensor:
        batch, pairs = len(codes), codes.shape[1] * other_codes.shape[1]
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradient, other_gradient = torch.zeros_like(codes), torch.zeros_like(other_codes)

        def compared(own: slice) -> tuple[torch.Tensor, list[torch.Tensor]]:
            """Add to these images' gradient; return their sum and what their partners' gains."""
            total, contributions = codes.new_zeros(()), []
            mine = codes[own]
            for level, partners in zip(levels, draws, strict=True):
                theirs = own if partners is None else partners[own]
                agreement = (features[own] @ other_features[theirs].mT).to(codes.dtype).add_(level)
                others = other_codes[theirs]
                similarity = mine @ others.mT  # (images, locations, other locations)
                limited = clamp_code_correlation(similarity, **clamps)
                # 1 where the clamp passes the gradient, else 0. As booleans, this would take four
                # times as long.
                free = similarity.eq_(limited) if wanted and limited is not similarity else None
                total -= limited.mul_(agreement).sum()
                if wanted:
                    if free is not None:
                        agreement.mul_(free)
                    gradient[own].baddbmm_(agreement, others)
                    contributions.append(agreement.mT @ mine)
            return total, contributions

        total = codes.new_zeros(())
        for own, (part, contributions) in in_portions(
            compared, codes, size=pairs, on_cpu=PAIRS_ON_CPU, threads=threads
        ):
            total += part
            for partners, contribution in zip(draws, contributions, strict=False):
                if partners is None:
                    other_gradient[own] = contribution
                else:  # two maps may have the same partner
                    other_gradient.index_add_(0, partners[own], contribution)
        pairs *= batch * len(draws)
        ctx.save_for_backward(gradient.div_(-pairs), other_gradient.div_(-pairs))
        return total / pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient, other_gradient = ctx.saved_tensors
        return gradient * upstream, other_gradient * upstream, *[None] * 6
