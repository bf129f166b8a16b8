"""CAUSE's concepts (Kim et al., 2023): a codebook that maximises modularity, and their contrast.

Locations of an image form a graph by the similarity of their features. A codebook whose soft
assignments group the graph into communities, as modularity (Newman, 2006) measures them, holds
concepts. Codes of the same or of similar concepts attract, those of other concepts repel.
Docstrings name the parts of the authors' code (`modules/segment_module.py` of
github.com/ByungKwanLee/Causal-Unsupervised-Segmentation) that compute the same.
"""

from typing import Any

import torch
import torch.nn.functional as F

ROWS = 8
"""Locations whose products with all others are computed at once."""
PAIRED_ROWS = 64
"""Codes that are compared with a bank at once: their products fit into the cache."""


def graph_of(features: torch.Tensor) -> torch.Tensor:
    """Return the cosine similarities of an image's locations, negative ones and own ones as 0.

    The graph of `get_modularity_matrix_and_edge` of the released code.

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
    ``S_ij = max_k tanh(C_ik C_jk / temperature)`` says how much two locations belong together, by
    the concept that they share most. `compute_modularity_based_codebook` of the released code.

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
    together = (most_shared(assignments) / temperature).tanh()
    return ((weights - degrees @ degrees.mT / total) * together / total).sum(dim=(1, 2))


def most_shared(assignments: torch.Tensor) -> torch.Tensor:
    """Return ``max_k C_ik C_jk`` for all pairs of locations.

    Args:
        assignments: C, shape (batch, locations, concepts).

    Returns:
        Tensor of shape (batch, locations, locations); gradients reach the largest products.

    Example:
        >>> most_shared(torch.tensor([[[3.0, 1.0], [1.0, 2.0]]])).tolist()
        [[[9.0, 3.0], [3.0, 4.0]]]
    """
    with torch.no_grad():
        # A few rows of one image at a time: the table of all products is large. Unlike argmax, max
        # is fast on a CPU.
        concepts = torch.stack(
            [
                torch.cat([(rows[:, None] * each).max(dim=2).indices for rows in each.split(ROWS)])
                for each in assignments
            ]
        )
    # Row i of the first is C_i at the concepts that i shares with each j; of the second, C_j.
    return assignments.gather(2, concepts) * assignments.gather(2, concepts.mT).mT


def concept_assignments(features: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """Return ``max(cos(f, m), 0)``, shape (..., concepts).

    `cluster_assignment_matrix` of the released code.

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
    same: bool = False,
) -> torch.Tensor:
    """Return the contrastive loss of codes and a bank, by the similarity of their concepts.

    The mean over all pairs of a code and one of its positives p in the bank of
    ``- log (exp(s_p) / sum_a exp(s_a))``, where a runs over the positives and negatives of the
    code, and s is the cosine similarity divided by the temperature; 0 without pairs. One of the two
    losses of `Cluster.contrastive_ema_with_codebook_bank` of the released code, which takes the
    mean image by image.

    Args:
        codes: codes of shape (locations, channels).
        concepts: concept of each code, shape (locations,), int64.
        bank: codes of the bank, treated as constant, shape (bank, channels).
        bank_concepts: concept of each of them, -1 for an empty place, shape (bank,), int64.
        similarity: cosine similarities of concepts, shape (concepts, concepts).
        positive: similarity of concepts above which codes are positives.
        negative: similarity of concepts below which codes are negatives.
        temperature: temperature.
        same: whether the bank holds other codes of the same locations, in the same order; a
            location is then not compared with itself.

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
    if not len(bank):
        return codes.sum() * 0
    rows = F.normalize(codes, dim=1) / temperature
    columns = F.normalize(bank.detach(), dim=1)
    # What two codes are to each other depends on their concepts alone.
    known = (bank_concepts >= 0).to(codes)
    alike = similarity[:, bank_concepts.clamp_min(0)]  # (concepts, bank)
    attracts = (alike > positive).to(codes) * known
    compared = (attracts + (alike < negative).to(codes) * known).clamp_max(1)
    # The sum over the positives of s_p is a product with the sum of their codes.
    count, attracting = attracts.sum(dim=1)[concepts], (attracts @ columns)[concepts]
    if same:
        own = attracts[concepts, torch.arange(len(codes), device=codes.device)]
        count, attracting = count - own, attracting - own[:, None] * columns
    against: torch.Tensor = _LogSumExp.apply(  # type: ignore[no-untyped-call]
        rows, columns, compared.log(), concepts, same
    )
    scores = count * against - (attracting * rows).sum(dim=1)
    # Codes without positives may have no pair at all, the logarithm of which is infinite.
    return scores.where(count > 0, 0).sum() / count.sum().clamp_min(1)


class _LogSumExp(torch.autograd.Function):
    """``log sum_a exp(row_i . column_a + offset_ia)``, the offset by the kind of the row.

    The table of all products, of its exponentials and of their gradients would be read and written
    many times. A few rows of it at a time stay in the cache, and give the gradient, too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: torch.Tensor,
        columns: torch.Tensor,
        offsets: torch.Tensor,
        kinds: torch.Tensor,
        same: bool,
    ) -> torch.Tensor:
        """Return the logarithms; -inf for a row all of whose offsets are."""
        values, means = rows.new_empty(len(rows)), torch.empty_like(rows)
        lowest = torch.finfo(rows.dtype).min
        for start in range(0, len(rows), PAIRED_ROWS):
            part = slice(start, start + PAIRED_ROWS)
            logits = (rows[part] @ columns.mT).add_(offsets[kinds[part]])  # (rows, columns)
            if same:
                logits.diagonal(start).fill_(-torch.inf)
            largest = logits.amax(dim=1, keepdim=True).clamp_min_(lowest)
            exponentials = logits.sub_(largest).exp_()
            total = exponentials.sum(dim=1, keepdim=True)
            values[part] = (total.log() + largest)[:, 0]
            means[part] = exponentials @ columns / total.clamp_min(torch.finfo(rows.dtype).tiny)
        ctx.save_for_backward(means)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of the rows: the mean column, weighted by the exponentials."""
        (means,) = ctx.saved_tensors
        return gradients[0][:, None] * means, None, None, None, None
