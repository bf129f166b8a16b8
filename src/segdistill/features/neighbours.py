"""Nearest neighbours among images."""

import faiss
import numpy as np
import torch


def nearest_neighbours(descriptors: torch.Tensor, count: int) -> torch.Tensor:
    """Find, for every image, the images most like it.

    Args:
        descriptors: unit vectors, shape (images, channels).
        count: neighbours wanted; at most ``images - 1`` are to be had.

    Returns:
        Indices by falling cosine similarity, the image itself left out, int64, of shape (images,
        min(count, images - 1)).

    Raises:
        ValueError: fewer than two images.

    Example:
        >>> nearest_neighbours(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]), 1).tolist()
        [[2], [2], [1]]
    """
    images = len(descriptors)
    if images < 2:
        raise ValueError("nearest neighbours take at least 2 images")
    count = min(count, images - 1)
    vectors = np.ascontiguousarray(descriptors.float().numpy())
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _, found = index.search(vectors, count + 1)
    # An image usually comes first among its own neighbours, but identical images may come before.
    rows = [row[row != own][:count] for own, row in enumerate(found)]
    return torch.from_numpy(np.stack(rows).astype(np.int64))
