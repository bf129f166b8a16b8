"""EAGLE's objects (Kim et al., CVPR 2024): eigenvectors of a Laplacian, and contrast between them.

The graph of an image joins its locations by the similarity of their codes and colours. Its
first eigenvectors vary little within an object, so clusters of their values are objects. Codes of a
location are pulled to the prototype of its object, and pushed from those of other objects.
Docstrings name the parts of the authors' code (github.com/MICV-yonsei/EAGLE, `src_EAGLE`) that
compute the same.
"""

import torch
import torch.nn.functional as F

ITERATIONS = 8
"""Iterations of k-means on the eigenvectors of an image."""

COLOUR_WIDTH = 0.1
"""Standard deviation of the Gaussian kernel of colours from 0 to 1."""


def affinity(codes: torch.Tensor, colours: torch.Tensor, weight_colour: float) -> torch.Tensor:
    """Return the weights of the graph of each image.

    ``max(c_i . c_j, 0) / m + weight_colour exp(- d_ij^2 / (2 w^2))``, where m is the largest inner
    product of codes in the image, d the distance of colours and w :data:`COLOUR_WIDTH`. This is
    `EigenLoss.laplacian` and `EigenLoss.color_affinity` of the released code.

    Args:
        codes: codes of shape (batch, locations, channels).
        colours: colours from 0 to 1, shape (batch, locations, 3).
        weight_colour: weight of the similarity of colours.

    Returns:
        Symmetric tensor of shape (batch, locations, locations), at least 0.

    Example:
        >>> codes = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
        >>> affinity(codes, torch.zeros(1, 2, 3), 0.5)[0].tolist()
        [[1.5, 0.5], [0.5, 0.75]]
    """
    products = (codes @ codes.mT).clamp_min(0)
    greatest = products.amax(dim=(1, 2), keepdim=True)
    distance = torch.cdist(colours, colours, compute_mode="donot_use_mm_for_euclid_dist")
    alike = torch.exp(-distance.square() / (2 * COLOUR_WIDTH**2))
    return products / greatest.where(greatest > 0, 1.0) + weight_colour * alike


def smooth_eigenvectors(weights: torch.Tensor, count: int) -> torch.Tensor:
    """Return eigenvectors of the normalised Laplacian with the smallest eigenvalues.

    The Laplacian is ``D^(-1/2) (D - A) D^(-1/2)``. Its first eigenvector, of the eigenvalue 0, is
    left out: it says nothing about objects. As `EigenLoss.normalized_laplacian` and
    `EigenLoss.eigen` of the released code, whose number of eigenvectors counts the first.

    Args:
        weights: A, symmetric, at least 0, shape (batch, locations, locations).
        count: number of eigenvectors, fewer than locations.

    Returns:
        Unit eigenvectors as columns, shape (batch, locations, count), by rising eigenvalue.

    Example:
        >>> blocks = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)) + 0.01
        >>> smooth_eigenvectors(blocks[None], 1)[0, :, 0].sign().unique(return_counts=True)[1]
        tensor([2, 2])
    """
    # Not all devices decompose matrices.
    graph = weights if weights.device.type in {"cpu", "cuda"} else weights.cpu()
    scale = graph.sum(dim=2).clamp_min(1e-12).rsqrt()
    smoothed = scale[:, :, None] * graph * scale[:, None]
    # The Laplacian is 1 - smoothed: the largest eigenvalues come last.
    vectors: torch.Tensor = torch.linalg.eigh(smoothed).eigenvectors
    return vectors[:, :, -1 - count : -1].flip(dims=(2,)).to(weights.device)


def eigen_clusters(vectors: torch.Tensor, clusters: int) -> torch.Tensor:
    """Cluster the locations of each image by their values in eigenvectors.

    k-means from the locations that are farthest apart, so that no random number is drawn.

    Args:
        vectors: eigenvectors as columns, shape (batch, locations, count).
        clusters: number of clusters, some of which may be empty.

    Returns:
        Cluster of each location, shape (batch, locations), int64.

    Example:
        >>> eigen_clusters(torch.tensor([[[1.0], [1.1], [-1.0]]]), 2).tolist()
        [[1, 1, 0]]
    """
    images = torch.arange(len(vectors), device=vectors.device)
    first = (vectors - vectors.mean(dim=1, keepdim=True)).square().sum(dim=2).argmax(dim=1)
    chosen = [vectors[images, first]]
    nearest = torch.full(vectors.shape[:2], torch.inf, device=vectors.device)
    for _ in range(1, clusters):
        away = (vectors - chosen[-1][:, None]).square().sum(dim=2)
        nearest = torch.minimum(nearest, away)
        chosen.append(vectors[images, nearest.argmax(dim=1)])
    centres = torch.stack(chosen, dim=1)  # (batch, clusters, count)
    for _ in range(ITERATIONS):
        owners = torch.cdist(vectors, centres).argmin(dim=2)
        sums, counts = sums_of_clusters(vectors, owners, clusters)
        # An empty cluster keeps its centre.
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return torch.cdist(vectors, centres).argmin(dim=2)


def sums_of_clusters(
    vectors: torch.Tensor, owners: torch.Tensor, clusters: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the vectors of each cluster, and their number.

    Args:
        vectors: shape (batch, locations, channels).
        owners: cluster of each location, shape (batch, locations).

    Returns:
        Tensors of shape (batch, clusters, channels) and (batch, clusters, 1).
    """
    members = F.one_hot(owners, clusters).to(vectors)  # (batch, locations, clusters)
    return members.mT @ vectors, members.sum(dim=1)[:, :, None]


def object_prototypes(codes: torch.Tensor, owners: torch.Tensor, clusters: int) -> torch.Tensor:
    """Return the medoid of each object: the code whose summed distance to the others is smallest.

    `newLocalGlobalInfoNCE.compute_centroid` of the released code, with prototypes as medoids.

    Args:
        codes: codes of shape (batch, locations, channels).
        owners: object of each location, shape (batch, locations).
        clusters: number of objects.

    Returns:
        Tensor of shape (batch, clusters, channels), through which gradients reach the medoids; some
        code of the image for an empty object.

    Example:
        >>> codes = torch.tensor([[[0.0], [1.0], [5.0], [7.0]]])
        >>> object_prototypes(codes, torch.tensor([[0, 0, 0, 1]]), 2).flatten().tolist()
        [1.0, 7.0]
    """
    with torch.no_grad():
        apart = torch.cdist(codes, codes, compute_mode="donot_use_mm_for_euclid_dist")
        members = F.one_hot(owners, clusters).to(codes)  # (batch, locations, clusters)
        summed = (apart @ members).masked_fill(members == 0, torch.inf)
        chosen = summed.argmin(dim=1)  # (batch, clusters)
    return codes.gather(1, chosen[:, :, None].expand(-1, -1, codes.shape[2]))


def object_contrast(
    codes: torch.Tensor,
    owners: torch.Tensor,
    objects: torch.Tensor,
    counts: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Return the contrastive loss of codes and objects.

    ``- log (exp(cos(c, o_k) / t) / sum_j exp(cos(c, o_j) / t))``, the mean over all locations,
    where k is the object of the location, and j runs over the objects that are not empty. As
    `newLocalGlobalInfoNCE.forward` of the released code, but each location counts the same.

    Args:
        codes: projected codes of shape (batch, locations, channels).
        owners: the object of each location, shape (batch, locations); none of them empty.
        objects: prototypes of objects, of any length, shape (batch, objects, channels).
        counts: number of locations of each object, shape (batch, objects, 1).
        temperature: t.

    Example:
        >>> codes, owners = torch.eye(2)[None], torch.tensor([[0, 1]])
        >>> loss = object_contrast(codes, owners, torch.eye(2)[None], torch.ones(1, 2, 1), 1.0)
        >>> round(loss.item(), 4)  # log(1 + exp(-1))
        0.3133
    """
    logits = F.normalize(codes, dim=2) @ F.normalize(objects, dim=2).mT / temperature
    logits = logits.masked_fill(counts.mT == 0, -torch.inf)
    return F.cross_entropy(logits.flatten(0, 1), owners.flatten())


def matching_objects(
    features: torch.Tensor, other_features: torch.Tensor, other_counts: torch.Tensor
) -> torch.Tensor:
    """Return the object of another image whose mean feature is most similar to that of each.

    The released code needs no such match, as its second view has the objects of the first.

    Args:
        features: sums of features of objects, shape (batch, objects, channels).
        other_features: those of the other images, shape (batch, other objects, channels).
        other_counts: number of locations of the others, shape (batch, other objects, 1).

    Returns:
        Index of a non-empty object of the other image, shape (batch, objects).

    Example:
        >>> own, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0], [2.0, 0.1]]])
        >>> matching_objects(own, other, torch.ones(1, 2, 1)).tolist()
        [[1]]
    """
    alike = F.normalize(features, dim=2) @ F.normalize(other_features, dim=2).mT
    return alike.masked_fill(other_counts.mT == 0, -torch.inf).argmax(dim=2)
