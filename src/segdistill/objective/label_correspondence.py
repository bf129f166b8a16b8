"""Ground-truth correlations: what the correspondence loss could reach with perfect features."""

import torch
import torch.nn.functional as F

from segdistill.images.labels import VOID


def label_features(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return vectors whose cosine similarity says whether labels agree (STEGO's oracle).

    ``cos(v[p], v[q]) = 1`` where labels agree, else 0; 'not labelled' is a label of its own.

    Args:
        labels: class indices, with 255 for 'not labelled', shape (batch, locations).
        classes: number of classes.

    Returns:
        Unit vectors of shape (batch, locations, classes + 1).

    Raises:
        ValueError: a label is neither a class nor 255.

    Example:
        >>> label_features(torch.tensor([[1, 255]]), 2).tolist()
        [[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    """
    void = labels == VOID
    if ((labels < 0) | (labels >= classes))[~void].any():
        raise ValueError(f"labels must lie in 0..{classes - 1}, or be {VOID} for 'not labelled'")
    return F.one_hot(labels.masked_fill(void, classes), classes + 1).float()
