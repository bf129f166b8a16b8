"""STEGO's correspondence loss (Hamilton et al., ICLR 2022, equations 1 to 4), as pure functions.

Locations are kept in one dimension here: a map sampled at S x S locations has P = S * S of them.
"""

import torch
import torch.nn.functional as F


def correspondence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the cosine similarity of every location of one map with every location of another.

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
    """Bring the vector at each location to length 1, or leave it at 0.

    Args:
        values: shape (batch, locations, channels).

    Example:
        >>> unit_vectors(torch.tensor([[[3.0, 4.0]]]))
        tensor([[[0.6000, 0.8000]]])
    """
    # 1e-10 as in the released code, so that results agree even for nearly empty features.
    return F.normalize(values, dim=2, eps=1e-10)


def centre_pointwise(correlation: torch.Tensor) -> torch.Tensor:
    """Centre each location's correlations over its partners, keeping the mean over the batch.

    'Spatial centring', section 3.2 of STEGO: it balances locations that resemble everything against
    locations that resemble nothing.

    Args:
        correlation: shape (batch, locations, other locations).

    Returns:
        Tensor of the same shape and the same overall mean.
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
    """Return the loss of every pair of locations; its mean is L of STEGO's equation 4.

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
    """Return the shift below which a given share of the pairs lies.

    Correlations of different backbones and data sets lie in different ranges, so a shift that
    suits one does not suit the next; a share does.

    Args:
        feature_correlation: any shape; taken as it is (centre it first if the loss does).
        quantile: from 0 to 1; 0.9 lets one pair in ten attract.

    Returns:
        Scalar tensor.
    """
    flat = feature_correlation.flatten()
    # kthvalue has no bound on the number of values, unlike torch.quantile.
    rank = min(max(round(quantile * flat.numel()), 1), flat.numel())
    return flat.kthvalue(rank).values
