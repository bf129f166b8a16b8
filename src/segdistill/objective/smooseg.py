"""SmooSeg's energy (Lan et al., NeurIPS 2023): smooth class assignments that fit prototypes.

An assignment is a distribution over classes at a location. The smoothness energy makes
assignments agree where features are close, and differ elsewhere; the data energy fits prototypes to
the assignments of a teacher, whose prototypes are a moving average. Docstrings name the parts of
the authors' code (github.com/mc-lan/SmooSeg, `modules.py`) that compute the same.
"""

import torch
import torch.nn.functional as F

from segdistill.objective.correspondence import mean_correspondence_loss, unit_vectors


def soft_assignments(
    codes: torch.Tensor, prototypes: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return ``softmax(cos(c, m) / temperature)``, a distribution over classes at each location.

    The teacher's `cluster_probs` in `Energy_minimization_loss` of the released code.

    Args:
        codes: codes of shape (..., channels).
        prototypes: prototypes of any length, shape (classes, channels).

    Returns:
        Tensor of shape (..., classes).

    Example:
        >>> codes, prototypes = torch.tensor([[2.0, 0.0]]), torch.eye(2)
        >>> [round(each, 3) for each in soft_assignments(codes, prototypes, 1.0)[0].tolist()]
        [0.731, 0.269]
    """
    return assignment_logits(codes, prototypes, temperature).softmax(dim=-1)


def assignment_logits(
    codes: torch.Tensor, prototypes: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return ``cos(c, m) / temperature``, shape (..., classes); arguments as above.

    At temperature 1, these are the inner products of `Prediction` of the released code.
    """
    return F.normalize(codes, dim=-1) @ F.normalize(prototypes, dim=-1).mT / temperature


def smoothness_energy(
    features: torch.Tensor,
    other_features: torch.Tensor,
    assignments: torch.Tensor,
    other_assignments: torch.Tensor,
    shift: float,
    *,
    partners: torch.Tensor | None = None,
    threads: int = 1,
) -> torch.Tensor:
    """Return the mean over all pairs of ``(W - b) (1 - cos(A, A'))``.

    W is the cosine similarity of features, centred over the partner's locations but with its mean
    over the batch restored, and the second factor the disagreement of assignments. It is
    `ContrastiveCorrelationLoss` of the released code. As the mean of W - b does not depend on
    assignments, the rest is STEGO's correspondence loss with assignments in place of codes, which
    is computed without a table of pairs.

    Args:
        features: features of shape (batch, locations, feature channels), treated as constant.
        other_features: features of shape (others, other locations, feature channels).
        assignments: distributions of shape (batch, locations, classes).
        other_assignments: distributions of shape (others, other locations, classes).
        shift: b; with a larger shift, fewer pairs should agree.
        partners: index of the other map that each map is compared with, shape (batch,); by
            default, the map with the same index. Of several draws, shape (draws, batch), the mean
            is returned.
        threads: number of threads that compute portions of the batch on a CPU.

    Returns:
        Scalar tensor, which can be differentiated once.

    Example:
        >>> features, same = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 0.5]]])
        >>> round(smoothness_energy(features, features, same, same, 0.5).item(), 6)
        0.0
    """
    with torch.no_grad():
        own, other = unit_vectors(features), unit_vectors(other_features)
        met = other.mean(dim=1) if partners is None else other.mean(dim=1)[partners]
        level = (own.mean(dim=1) * met).sum(dim=-1).mean() - shift
    agreement = mean_correspondence_loss(
        own,
        other,
        unit_vectors(assignments),
        unit_vectors(other_assignments),
        shift,
        partners=partners,
        threads=threads,
    )
    return level + agreement


def data_energy(logits: torch.Tensor, assignments: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of the student and the teacher's most probable class.

    `data_loss` in `Energy_minimization_loss` of the released code, where the student's logits are
    cosines that are not divided by a temperature.

    Args:
        logits: the student's logits, shape (..., classes).
        assignments: the teacher's assignments, same shape, treated as constant.

    Example:
        >>> round(data_energy(torch.zeros(1, 2), torch.tensor([[0.9, 0.1]])).item(), 4)
        0.6931
    """
    wanted = assignments.detach().argmax(dim=-1)
    return F.cross_entropy(logits.flatten(0, -2), wanted.flatten())
