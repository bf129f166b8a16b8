"""Refining class scores by the image: reported marginals, other sizes, refusals."""

import numpy as np
import pytest
import torch
from tests.helpers import golden, striped_image, striped_labels

from segdistill.errors import UserError
from segdistill.images.resize import enlarge
from segdistill.refinement.crf_refinement import check_size, refine, refined_mask


def test_equals_reported_marginals() -> None:
    given = golden("dense_crf")
    image = given["image_rgb"].numpy()
    # The program that made them handed over its image with blue first, as this one does inside.
    marginals = refine(enlarge(given["logits"][None].float(), image.shape[:2]), image)[0]
    assert (marginals - given["marginals"]).abs().max() < 1e-3
    assert torch.equal(marginals.argmax(0), given["marginals"].argmax(0))


def test_an_image_of_another_size_is_brought_to_the_scores() -> None:
    labels = torch.from_numpy(striped_labels(0).astype(np.int64))
    scores = torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1)[None].float()
    small = refine(scores, striped_image(0, 32, 48))
    assert small.shape == scores.shape
    assert (small[0].argmax(0) == labels).float().mean() > 0.95


def test_a_refined_mask_follows_edges() -> None:
    labels = striped_labels(0)
    coarse = torch.from_numpy(labels[4::8, 4::8].astype(np.int64))
    scores = torch.nn.functional.one_hot(coarse, 3).permute(2, 0, 1)[None].float()
    image = np.array([[70, 120, 220], [130, 130, 130], [60, 150, 50]], np.uint8)[labels]
    plain = enlarge(scores, (64, 96))[0].argmax(0).numpy()
    refined = refined_mask(scores, image)
    assert refined.dtype == np.uint8
    assert (refined == labels).mean() >= (plain == labels).mean()


def test_an_image_too_large_is_refused_with_the_mend() -> None:
    check_size(2000, 3000, 27)
    with pytest.raises(UserError, match="9000x8000 pixels is too large for 27 classes; omit --crf"):
        check_size(8000, 9000, 27)
