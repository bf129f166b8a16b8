"""How good the taught classes are, estimated from the answers alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from segdistill.teaching.cells import CellPool, Cells
from segdistill.teaching.classifier import LinearClassifier
from segdistill.teaching.examples import Examples
from segdistill.teaching.questions import shares_of_cells

FOLDS = 20
FEWEST_ANSWERS = 10
MIXED = 0.5
"""Share of the cells of a region of several things that is taken to be right: its masks have one
class or another, where the labels have both."""

Fit = Callable[[Examples], LinearClassifier]


@dataclass(frozen=True)
class Estimate:
    """The result of cross-validation by image.

    Attributes:
        accuracy: estimated share of the cells that get the right class, from 0 to 1.
        error: its standard error.
        answers: number of answers that it is based on.
    """

    accuracy: float
    error: float
    answers: int


def cross_validate(
    pool: CellPool, examples: Examples, mixed: Sequence[Cells], fit: Fit
) -> Estimate | None:
    """Hold back the answers of some images in turn, and compare them with what the others predict.

    Questions are about what is least certain, so an answer weighs as much as there are cells more
    like it than like any other answer.

    Args:
        pool: the cells.
        examples: what the answers say about cells.
        mixed: the regions that were said to be several things.
        fit: makes a classifier from examples.

    Returns:
        The estimate; ``None`` if there are too few answers, or all are about one image.
    """
    numbers, index = np.unique(examples.answers, return_inverse=True)
    images = pool.image_of(examples.cells)
    known = np.unique(images)
    folds = min(FOLDS, len(known))
    if len(numbers) < FEWEST_ANSWERS or folds < 2:
        return None
    # Images in turn, in the order in which they were asked about.
    order = {image: place for place, image in enumerate(dict.fromkeys(images.tolist()))}
    fold = np.array([order[image] % folds for image in images.tolist()])
    right = np.zeros(len(examples.cells))
    for held in range(folds):
        test = fold == held
        classifier = fit(examples.chosen(~test))
        logits = classifier.logits(pool.features[torch.from_numpy(examples.cells[test])])
        right[test] = logits.argmax(dim=1).numpy() == examples.classes[test]
    shares = np.concatenate([np.bincount(index, right) / np.bincount(index), [MIXED] * len(mixed)])
    named = [examples.cells[index == number] for number in range(len(numbers))]
    weights = shares_of_cells(pool, [*named, *mixed])
    # As if one more answer had been right and one wrong, so that few answers are not trusted fully.
    count = 1 / float((weights**2).sum())
    accuracy = (float(shares @ weights) * count + 1) / (count + 2)
    error = (accuracy * (1 - accuracy) / (count + 2)) ** 0.5
    return Estimate(accuracy, error, len(shares))
