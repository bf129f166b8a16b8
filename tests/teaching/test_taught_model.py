"""A taught classifier as a Segmenter."""

import numpy as np
import pytest
import torch
from tests.helpers import TinyBackbone, striped_image

from segdistill.features.preparation import FeaturePreparation
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.segmenter import Segmenter
from segdistill.teaching.classifier import LinearClassifier
from segdistill.teaching.reduction import fit_reduction
from segdistill.teaching.taught_model import DETAIL, taught_segmenter


@pytest.fixture
def run() -> Segmenter:
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(4, 6, generator=generator)
    settings = SegmenterSettings(64, numbered_classes(4))
    return Segmenter(TinyBackbone(), FeaturePreparation((3, 3)), None, centres, settings)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_most_similar_centre_is_the_likeliest_class(run: Segmenter, classes: int) -> None:
    generator = torch.Generator().manual_seed(1)
    features = run.grid_features(striped_image(0))
    cells = features[0].flatten(1).mT  # (1, c, h, w) -> (cells, c)
    reduction = fit_reduction(cells, 4)
    classifier = LinearClassifier(
        torch.randn(classes, 4, generator=generator), torch.randn(classes, generator=generator)
    )
    made = taught_segmenter(run, reduction, classifier, numbered_classes(classes))
    scores = made.grid_scores(striped_image(0))
    expected = classifier.logits(reduction(cells)).argmax(dim=1)
    assert torch.equal(scores[0].flatten(1).argmax(dim=0), expected)
    assert made.settings.detail == DETAIL
    mask = made.segment(striped_image(0))
    assert mask.dtype == np.uint8
    assert mask.max() < classes


def test_differences_of_scores_follow_those_of_logits(run: Segmenter) -> None:
    generator = torch.Generator().manual_seed(2)
    features = run.grid_features(striped_image(3))
    cells = features[0].flatten(1).mT
    reduction = fit_reduction(cells, 4)
    classifier = LinearClassifier(
        torch.randn(3, 4, generator=generator), torch.randn(3, generator=generator)
    )
    made = taught_segmenter(run, reduction, classifier, numbered_classes(3))
    scores = made.grid_scores(striped_image(3))[0].flatten(1).mT
    logits = classifier.logits(reduction(cells))
    # Each cell's code has a length of its own.
    ratios = (scores - scores[:, :1])[:, 1:] / (logits - logits[:, :1])[:, 1:]
    torch.testing.assert_close(ratios[:, 0], ratios[:, 1], rtol=1e-3, atol=1e-4)
    assert (ratios > 0).all()
