"""How well correspondences predict labels, without clusters: STEGO's precision-recall curves."""

from collections.abc import Iterator

import numpy as np

from segdistill.api.labelled import LabelledSet
from segdistill.errors import UserError
from segdistill.evaluation.precision_recall import PairHistogram, PrecisionRecall
from segdistill.inference.pair_scores import (
    SCORE_RANGES,
    PairScores,
    PixelSamples,
    sample_pixels,
    scores_between,
    scores_within,
)
from segdistill.model.pixels import labelled_pixels
from segdistill.model.segmenter import Segmenter
from segdistill.progress import progress_bar

LOCATIONS = 256
WITHIN = "within images"
BETWEEN = "between images"


def correspondence_curves(
    segmenter: Segmenter,
    labelled: LabelledSet,
    *,
    locations: int = LOCATIONS,
    seed: int = 0,
    progress: bool = False,
) -> tuple[PrecisionRecall, ...]:
    """Measure how well scores of two pixels predict that both have the same label.

    Figure 3 of STEGO (Hamilton et al., ICLR 2022, section 3.1), with a curve for the codes beside
    that of the features: what training adds shows between the two. At random labelled pixels of
    each image, the pairs are any two pixels of one image, and any pixel of it with any of another
    image, drawn at random.

    Memory does not grow with the set.

    Args:
        segmenter: the model.
        labelled: images with labels.
        locations: labelled pixels an image, at least 2.
        seed: of the choice of pixels and of the order that pairs up images.
        progress: show a progress bar.

    Returns:
        Curves named ``features within images``, ``codes within images``, ``crf within images``,
        ``features between images`` and ``codes between images``. Codes are left out for a model
        that clusters features, and so are pairs of which none shares a label (those between images
        of a set of one).

    Raises:
        UserError: a file cannot be read, or no two labelled pixels share a label.
        ValueError: fewer than 2 locations.
    """
    if locations < 2:
        raise ValueError(f"locations is {locations}: a pair takes at least 2")
    histograms: dict[str, dict[str, PairHistogram]] = {WITHIN: {}, BETWEEN: {}}
    previous = None
    for samples in _samples(segmenter, labelled, locations, seed=seed, progress=progress):
        _add(histograms[WITHIN], scores_within(samples))
        if previous is not None:
            _add(histograms[BETWEEN], scores_between(previous, samples))
        previous = samples
    curves = tuple(
        histogram.curve(f"{name} {pairs}")
        for pairs, by_name in histograms.items()
        for name, histogram in by_name.items()
        if histogram.counts[1].any()
    )
    if not curves:
        raise UserError("no two labelled pixels share a label (255 means 'not labelled')")
    return curves


def _samples(
    segmenter: Segmenter, labelled: LabelledSet, locations: int, *, seed: int, progress: bool
) -> Iterator[PixelSamples]:
    """Yield the samples of each labelled image, in a random order.

    Each image then follows another drawn at random, and only one at a time is remembered.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(labelled.pairs))
    with progress_bar("Comparing pixels", len(order), shown=progress) as advance:
        for index in order:
            image_file, label_path = labelled.pairs[index]
            labels = labelled.read(label_path)
            pixels = labelled_pixels(labels, locations, random)
            if len(pixels):
                yield sample_pixels(segmenter, segmenter.read(image_file.path), labels, pixels)
            advance(1)


def _add(histograms: dict[str, PairHistogram], pairs: PairScores) -> None:
    same = pairs.same.numpy()
    for name, scores in pairs.scores.items():
        histograms.setdefault(name, PairHistogram(*SCORE_RANGES[name])).add(scores.numpy(), same)
