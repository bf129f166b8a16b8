"""Optional parts of STEGO's code: reconstruction, augmentation alignment, oracle correlations."""

import torch
import torch.nn.functional as F

from segdistill.images.palette import VOID


def reconstruction_loss(decoded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return ``- cos(decoder(c), f)`` at each location, so that codes preserve feature directions.

    Args:
        decoded: features decoded from codes, shape (batch, locations, channels).
        features: original features, same shape.

    Returns:
        Tensor of shape (batch, locations), in -1..1.

    Example:
        >>> reconstruction_loss(torch.ones(1, 1, 4), 3 * torch.ones(1, 1, 4)).item()
        -1.0
    """
    return -torch.cosine_similarity(decoded, features, dim=2)


def alignment_loss(codes: torch.Tensor, copies: torch.Tensor) -> torch.Tensor:
    """Return ``- cos(c, c')`` at each location, so that codes are invariant to augmentation.

    Args:
        codes: codes of the original image, shape (batch, locations, channels).
        copies: codes of the augmented copy at the corresponding locations, same shape.

    Returns:
        Tensor of shape (batch, locations), in -1..1.

    Example:
        >>> alignment_loss(torch.ones(1, 1, 4), -torch.ones(1, 1, 4)).item()
        1.0
    """
    return -torch.cosine_similarity(codes, copies, dim=2, eps=1e-10)


def label_features(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return vectors with cosine similarity 1 for equal labels, otherwise 0 (STEGO's oracle).

    Args:
        labels: class indices, shape (batch, locations); 255 ("not labelled") is a separate label.

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
