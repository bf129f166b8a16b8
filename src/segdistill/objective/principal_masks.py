"""Principal masks and class prototypes (PriMaPs-EM, Hahn et al., TMLR 2024).

The location that is most similar to the first principal component of an image's features is the
anchor of a mask of all similar locations; the next mask is found among the rest. Classes are
prototypes of codes, fitted by expectation and maximisation: a teacher gives each mask its class,
and the student learns these. Docstrings name the parts of the authors' code
(github.com/visinf/primaps) that compute the same.
"""

import torch
import torch.nn.functional as F

POWER_ITERATIONS = 12
NO_MASK = -1


def principal_direction(
    features: torch.Tensor, products: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the first principal component of some locations.

    By power iteration, from the location that is farthest from the mean.

    Args:
        features: features of shape (locations, channels).
        products: ``features.mT @ features``, where it is known.

    Returns:
        Vector of shape (channels,): a unit vector, or zero where locations do not differ.

    Example:
        >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.1]])
        >>> principal_direction(features).abs().round().tolist()
        [1.0, 0.0]
    """
    mean = features.mean(dim=0)
    products = features.mT @ features if products is None else products
    scatter = torch.addr(products, mean, mean, alpha=-len(features))
    lengths = torch.linalg.vector_norm(features, dim=1)
    # The squared distance to the mean, less a constant.
    farthest = (lengths.square() - 2 * torch.mv(features, mean)).argmax()
    direction = features[farthest] - mean
    # One product of matrices takes less time than two passes over all locations each iteration.
    for _ in range(POWER_ITERATIONS):
        direction = torch.mv(scatter, F.normalize(direction, dim=0))
    return F.normalize(direction, dim=0)


def principal_masks(
    features: torch.Tensor, similarity: float, *, coverage: float = 0.95, most: int = 16
) -> torch.Tensor:
    """Return the mask of each location.

    Masks are found one after another: the anchor is the location with the largest absolute cosine
    similarity to the first principal component of the locations without a mask, and the mask is
    all of these whose cosine similarity to the anchor is greater than a threshold. As
    `PriMaPs._get_pseudo` of the released code, before its filters; there, the sign of the component
    is the decomposition's.

    Args:
        features: features of shape (batch, locations, channels).
        similarity: the threshold, in -1..1.
        coverage: share of the locations of an image at which its masks suffice.
        most: largest number of masks in an image.

    Returns:
        Tensor of shape (batch, locations), int64: 0 for the first mask, and -1 without a mask.

    Example:
        >>> features = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [-0.5, 3.0]]])
        >>> principal_masks(features, 0.5, coverage=1.0)
        tensor([[1, 1, 0]])
    """
    return torch.stack([_masks_of_image(each, similarity, coverage, most) for each in features])


def _masks_of_image(
    features: torch.Tensor, similarity: float, coverage: float, most: int
) -> torch.Tensor:
    count = len(features)
    masks = torch.full((count,), NO_MASK, device=features.device)
    left = torch.arange(count, device=features.device)
    unit = F.normalize(features, dim=1)
    # Far from the origin, differences between large numbers would lose digits.
    centred = features - features.mean(dim=0)
    products = centred.mT @ centred  # (channels, channels)
    for number in range(most):
        if len(left) <= (1 - coverage) * count:
            break
        direction = principal_direction(centred, products)
        anchor = torch.mv(unit, direction).abs().argmax()
        alike = torch.mv(unit, unit[anchor]) > similarity
        # The anchor itself, even if rounding or a threshold of 1 would leave it out.
        alike[anchor] = True
        masks[left[alike]] = number
        # Every location is subtracted once, so that all masks together cost as much as one more
        # product of all locations.
        gone, kept = centred[alike], ~alike
        products.addmm_(gone.mT, gone, alpha=-1)
        left, unit, centred = left[kept], unit[kept], centred[kept]
    return masks


def mask_classes(scores: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Give each mask the class that is best at most of its locations: the expectation step.

    The vote over `cls_prior` in `PriMaPs._get_pseudo` of the released code; of classes with as many
    votes, the first wins.

    Args:
        scores: scores of classes, shape (batch, locations, classes).
        masks: mask of each location, -1 without one, shape (batch, locations).

    Returns:
        Class of each location, -1 without a mask, shape (batch, locations).

    Example:
        >>> scores = torch.tensor([[[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.0, 1.0]]])
        >>> mask_classes(scores, torch.tensor([[0, 0, 0, -1]])).tolist()
        [[1, 1, 1, -1]]
    """
    count = int(masks.max()) + 1
    members = F.one_hot(masks + 1, count + 1)[:, :, 1:].to(scores)  # (batch, locations, masks)
    votes = F.one_hot(scores.argmax(dim=2), scores.shape[2]).to(scores)
    best = (members.mT @ votes).argmax(dim=2)  # (batch, masks)
    if not count:
        return masks
    classes = best.gather(1, masks.clamp_min(0))
    return classes.where(masks != NO_MASK, NO_MASK)


def class_confidence(logits: torch.Tensor) -> torch.Tensor:
    """Return the mean probability of each class over all locations of a batch, without gradient.

    `mean_cls_conf` in `FocalLoss` of the released code.

    Args:
        logits: the student's, shape (batch, locations, classes).

    Returns:
        Tensor of shape (classes,), in 0..1; sums to 1.

    Example:
        >>> class_confidence(torch.tensor([[[0.0, 0.0], [50.0, 0.0]]])).tolist()
        [0.75, 0.25]
    """
    return logits.detach().softmax(dim=2).mean(dim=(0, 1))


def focal_loss(
    logits: torch.Tensor, classes: torch.Tensor, confidence: torch.Tensor, focus: float
) -> torch.Tensor:
    """Return ``- (1 - confidence[k]) ** focus * log p[k]``, the mean over all locations.

    k is the class of the location; those without one count as 0. The maximisation step, `FocalLoss`
    of the released code.

    Args:
        logits: the student's, shape (batch, locations, classes).
        classes: class of each location, -1 for none, shape (batch, locations).
        confidence: confidence of each class, in 0..1, shape (classes,).

    Example:
        >>> logits, classes = torch.zeros(1, 2, 2), torch.tensor([[0, -1]])
        >>> round(focal_loss(logits, classes, torch.tensor([0.5, 0.0]), 1.0).item(), 4)
        0.1733
    """
    wanted = classes.clamp_min(0)
    surprise = -logits.log_softmax(dim=2).gather(2, wanted[:, :, None])[:, :, 0]
    weights = (1 - confidence[wanted]) ** focus * (classes != NO_MASK)
    return (weights * surprise).mean()


def rising_momentum(update: int, momentum: float) -> float:
    """Return the share of the teacher that is kept in an update.

    At first the teacher is close to the mean of the student's states, which forgets its start:
    0 in the first two updates, then ``1 - 1 / update`` until it reaches the momentum. As
    `EMA.get_current_decay` of the released code.

    Args:
        update: the update, counted from 1.
        momentum: the largest share.

    Example:
        >>> [rising_momentum(update, 0.98) for update in (1, 2, 4, 1000)]
        [0.0, 0.0, 0.75, 0.98]
    """
    return 0.0 if update <= 2 else min(1 - 1 / update, momentum)
