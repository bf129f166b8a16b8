"""STEGO's precision-recall curves: how well correspondences predict labels, without clusters."""

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
from segdistill.model.linear_probe import labelled_pixels
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
    """Measure how well pair scores predict that two pixels have the same label.

    Figure 3 of STEGO (Hamilton et al., ICLR 2022, section 3.1), with curves for both features and
    codes: the gap between them is what training adds. Labelled pixels are drawn at random from
    each image; pairs are formed within the image, and with the pixels of another random image.

    Memory use does not depend on the number of images.

    Args:
        segmenter: the model.
        labelled: images with labels.
        locations: labelled pixels per image, at least 2.
        seed: random seed for the choice of pixels and the pairing of images.
        progress: show a progress bar.

    Returns:
        Curves named ``features within images``, ``codes within images``, ``crf within images``,
        ``features between images`` and ``codes between images``. Codes are left out for a model
        that clusters features, as are curves without any pair that shares a label (such as
        ``between images`` for a single image).

    Raises:
        UserError: a file cannot be read, or no two labelled pixels share a label.
        ValueError: ``locations`` is below 2.
    """
    if locations < 2:
        raise ValueError(f"locations is {locations}: must be at least 2")
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
    """Yield the samples of each labelled image, in random order.

    Consecutive images then form random pairs, and only the previous one is kept in memory.
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
