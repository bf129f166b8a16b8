"""A taught classifier as a Segmenter like any other."""

from dataclasses import replace

import torch

from segdistill.model.description import SegmentClass
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter
from segdistill.objective.clusters import cluster_similarity
from segdistill.teaching.classifier import LinearClassifier
from segdistill.teaching.reduction import Reduction

TAUGHT = "taught"
"""The method that a taught run records."""

DETAIL = 0.5
"""Chosen on the last third of each of CamVid's training sequences, taught on the others: +0.8 mIoU
and +0.9 boundary F-score over 0, three numbers of acts; 0.75 is as good, 1 worse."""


def taught_segmenter(
    run: Segmenter,
    reduction: Reduction,
    classifier: LinearClassifier,
    classes: tuple[SegmentClass, ...],
) -> Segmenter:
    """Return a model with the taught classes, and the backbone and preparation of a run.

    Its head is the reduction, extended by the constants 1 and 0: a code is ``(x, 1, 0)``. The
    centre of class k is ``(w, b, r)`` with the classifier's weights w and bias b of the class, and
    r such that all centres have the same length. So the cosine similarity of a code and a centre
    is the logit of the class, divided by a length that is the same for all classes, and the most
    similar centre is the likeliest class.

    Args:
        run: the model that was taught.
        reduction: from its prepared features to those of the classifier.
        classifier: one row per class.
        classes: the classes, by index.
    """
    features, channels = reduction.rotation.shape
    head = SegmentationHead(features, channels + 2, kind="linear", dropout=0.0)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.weight[:channels] = reduction.rotation.mT
        head.linear.bias.zero_()
        head.linear.bias[:channels] = -reduction.offset
        head.linear.bias[channels] = 1
    training = {key: run.settings.training.get(key) for key in ("images", "data_fingerprint")}
    settings = replace(
        run.settings, classes=classes, training=training | {"method": TAUGHT}, detail=DETAIL
    )
    parts = replace(
        run.parts,
        head=head,
        centres=class_centres(classifier),
        settings=settings,
        prototypes=None,
        levels=None,
        code_maps=None,
    )
    return Segmenter(**vars(parts)).place_on(run.compute)


def codes_of_reduced(features: torch.Tensor) -> torch.Tensor:
    """Return the codes of a taught model: (batch, channels, h, w) to (batch, channels + 2, h, w).

    Args:
        features: reduced features.
    """
    one = torch.ones_like(features[:, :1])
    return torch.cat([features, one, torch.zeros_like(one)], dim=1)


def class_scores(classifier: LinearClassifier, features: torch.Tensor) -> torch.Tensor:
    """Return the class scores that the taught model gives cells.

    Args:
        classifier: one row per class.
        features: reduced features of a grid, shape (1, channels, height, width).

    Returns:
        Cosine similarities of shape (1, classes, height, width), in -1..1.
    """
    return cluster_similarity(codes_of_reduced(features), class_centres(classifier))


def class_centres(classifier: LinearClassifier) -> torch.Tensor:
    """Return centres whose cosine similarities order the classes as the logits do.

    Returns:
        Shape (classes, channels + 2): weights, bias, and what makes all equally long.

    Example:
        >>> classifier = LinearClassifier(torch.randn(3, 4), torch.randn(3))
        >>> class_centres(classifier).norm(dim=1).std().item() < 1e-5
        True
    """
    # A vector added to all rows changes no decision; without it, similarities differ most.
    rows = torch.cat([classifier.weight, classifier.bias[:, None]], dim=1)
    rows = rows - rows.mean(dim=0)
    lengths = rows.square().sum(dim=1, keepdim=True)
    rest = (lengths.max() - lengths).clamp_min(0).sqrt()
    centres = torch.cat([rows, rest], dim=1)
    # One class alone has no logits to compare.
    return centres if centres.any() else torch.ones_like(centres)
