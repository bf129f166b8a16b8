"""CAUSE's concepts (Kim et al., 2023): a codebook that maximises modularity, and their contrast.

Locations of an image form a graph by the similarity of their features. A codebook whose soft
assignments group the graph into communities, as modularity (Newman, 2006) measures them, holds
concepts. Codes of the same or of similar concepts attract, those of other concepts repel.
"""

import torch
import torch.nn.functional as F


def graph_of(features: torch.Tensor) -> torch.Tensor:
    """Return the cosine similarities of an image's locations, negative ones and own ones as 0.

    Args:
        features: features of shape (batch, locations, channels).

    Returns:
        Tensor of shape (batch, locations, locations).
    """
    unit = F.normalize(features, dim=2)
    weights = (unit @ unit.mT).clamp_min(0)
    return weights - torch.diag_embed(weights.diagonal(dim1=1, dim2=2))


def modularity(
    weights: torch.Tensor, assignments: torch.Tensor, temperature: float = 0.1
) -> torch.Tensor:
    """Return the modularity of soft communities in each graph.

    ``1 / 2e tr(S [A - d d^T / 2e])``: A are the weights, d the degrees, 2e their sum, and
    ``S = tanh(C C^T / temperature)`` says how much two locations belong together.

    Args:
        weights: A, symmetric, at least 0, shape (batch, locations, locations).
        assignments: C, at least 0, shape (batch, locations, concepts).
        temperature: a smaller one makes S harder.

    Returns:
        Tensor of shape (batch,), at most 1; 0 for a graph without edges.

    Example:
        >>> pairs = torch.block_diag(1 - torch.eye(2), 1 - torch.eye(2))[None]
        >>> groups = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
        >>> modularity(pairs, groups).item()
        0.5
    """
    degrees = weights.sum(dim=2, keepdim=True)
    total = degrees.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    together = (assignments @ assignments.mT / temperature).tanh()
    return ((weights - degrees @ degrees.mT / total) * together / total).sum(dim=(1, 2))


def concept_assignments(features: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """Return ``max(cos(f, m), 0)``, shape (..., concepts).

    Args:
        features: features of shape (..., channels).
        codebook: concepts, of any length, shape (concepts, channels).
    """
    unit = F.normalize(features, dim=-1)
    return (unit @ F.normalize(codebook, dim=1).mT).clamp_min(0)


def concept_contrast(
    codes: torch.Tensor,
    concepts: torch.Tensor,
    bank: torch.Tensor,
    bank_concepts: torch.Tensor,
    similarity: torch.Tensor,
    *,
    positive: float,
    negative: float,
    temperature: float,
) -> torch.Tensor:
    """Return the contrastive loss of codes and a bank, by the similarity of their concepts.

    For each code and each of its positives p in the bank,
    ``- log (exp(s_p) / (exp(s_p) + sum_n exp(s_n)))``, where n runs over its negatives and s is the
    cosine similarity divided by the temperature. The mean over the positives of a code, and over
    all codes that have positives; 0 if none has.

    Args:
        codes: codes of shape (locations, channels).
        concepts: concept of each code, shape (locations,), int64.
        bank: codes of the bank, treated as constant, shape (bank, channels).
        bank_concepts: concept of each of them, -1 for an empty place, shape (bank,), int64.
        similarity: cosine similarities of concepts, shape (concepts, concepts).
        positive: similarity of concepts above which codes are positives.
        negative: similarity of concepts below which codes are negatives.
        temperature: temperature.

    Example:
        >>> codes, bank = torch.tensor([[1.0, 0.0]]), torch.eye(2)
        >>> loss = concept_contrast(
        ...     codes,
        ...     torch.tensor([0]),
        ...     bank,
        ...     torch.tensor([0, 1]),
        ...     torch.eye(2),
        ...     positive=0.3,
        ...     negative=0.1,
        ...     temperature=1.0,
        ... )
        >>> round(loss.item(), 4)  # log(1 + exp(-1))
        0.3133
    """
    logits = F.normalize(codes, dim=1) @ F.normalize(bank.detach(), dim=1).mT / temperature
    known = bank_concepts >= 0
    alike = similarity[concepts][:, bank_concepts.clamp_min(0)]
    positives, negatives = (alike > positive) & known, (alike < negative) & known
    repelled = logits.masked_fill(~negatives, -torch.inf)
    # Finite even for a code without negatives, so that gradients are.
    against = repelled.logsumexp(dim=1, keepdim=True).clamp_min(-1e4)
    each = torch.logaddexp(logits, against) - logits
    counts = positives.sum(dim=1)
    means = (each * positives).sum(dim=1) / counts.clamp_min(1)
    return means.sum() / (counts > 0).sum().clamp_min(1)
