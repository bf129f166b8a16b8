"""Scores of pairs of pixels, against plain loops."""

import itertools

import numpy as np
import pytest
import torch
from tests.helpers import striped_image, striped_labels
from tests.model.test_segmenter import tiny_segmenter

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.inference.pair_scores import (
    SCORE_RANGES,
    PixelSamples,
    crf_affinity,
    sample_pixels,
    scores_between,
    scores_within,
)
from segdistill.objective.contrastive_crf import GUIDANCE_SIDE, pairwise_kernel


def drawn_samples(seed: int, count: int = 6) -> PixelSamples:
    generator = torch.Generator().manual_seed(seed)

    def drawn(channels: int) -> torch.Tensor:
        return torch.randn(count, channels, generator=generator)

    return PixelSamples(
        labels=torch.randint(3, (count,), generator=generator),
        features=drawn(4),
        codes=drawn(3),
        colours=drawn(3),
        cells=torch.rand(count, 2, generator=generator) * GUIDANCE_SIDE,
    )


def test_pairs_within_an_image_count_once_and_no_pixel_meets_itself() -> None:
    samples = drawn_samples(0)
    assert samples.codes is not None
    pairs = scores_within(samples)
    assert set(pairs.scores) == {"features", "codes", "crf"}
    expected = list(itertools.combinations(range(6), 2))
    assert len(pairs.same) == len(expected)
    affinity = crf_affinity(samples.colours, samples.cells)
    for number, (p, q) in enumerate(expected):
        assert pairs.same[number] == (samples.labels[p] == samples.labels[q])
        for name, vectors in (("features", samples.features), ("codes", samples.codes)):
            cosine = torch.cosine_similarity(vectors[p], vectors[q], dim=0)
            torch.testing.assert_close(pairs.scores[name][number], cosine)
        torch.testing.assert_close(pairs.scores["crf"][number], affinity[p, q])


def test_pairs_between_images_are_all_there_are() -> None:
    first, second = drawn_samples(0), drawn_samples(1, count=5)
    pairs = scores_between(first, second)
    assert set(pairs.scores) == {"features", "codes"}
    for number, (p, q) in enumerate(itertools.product(range(6), range(5))):
        assert pairs.same[number] == (first.labels[p] == second.labels[q])
        cosine = torch.cosine_similarity(first.features[p], second.features[q], dim=0)
        torch.testing.assert_close(pairs.scores["features"][number], cosine)


def test_affinity_ranks_as_the_kernel_does() -> None:
    generator = torch.Generator().manual_seed(0)
    colours = torch.randn(40, 3, generator=generator, dtype=torch.double)
    # Close enough for the kernel to be above 0 in double precision.
    cells = torch.rand(40, 2, generator=generator, dtype=torch.double) * 12
    kernel = pairwise_kernel(colours[None], cells)[0].flatten()
    affinity = crf_affinity(colours, cells).flatten()
    assert (kernel > 0).all()
    order = kernel.argsort()
    assert (affinity[order].diff() >= -1e-9).all()


def test_affinity_stays_in_its_range() -> None:
    black_and_white = normalise_images(
        torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2), IMAGENET_MEAN, IMAGENET_STD
    )
    colours = black_and_white[0, :, 0].mT  # (1, 3, 1, 2) -> (2, 3)
    affinity = crf_affinity(colours, torch.tensor([[0.0, 0.0], [GUIDANCE_SIDE, GUIDANCE_SIDE]]))
    low, high = SCORE_RANGES["crf"]
    assert low < affinity.min() < 0.99 * low
    assert affinity.max().item() == pytest.approx(high, abs=1e-3)


def test_samples_are_what_lies_at_the_pixels() -> None:
    segmenter, image = tiny_segmenter(), striped_image(0)
    # Labels at half the image's scale: row 2 is sky, row 31 is grass.
    labels = striped_labels(0)[::2, ::2].astype(np.int64)
    samples = sample_pixels(segmenter, image, labels, np.array([[2, 5], [2, 40], [31, 24]]))
    assert samples.labels.tolist() == [0, 0, 2]
    assert samples.features.shape == (3, 4)
    assert samples.codes is not None
    assert samples.codes.shape == (3, 5)
    blue, green = (samples.colours[:, channel] for channel in (2, 1))
    assert (blue > green).tolist() == [True, True, False]
    torch.testing.assert_close(samples.cells[2], torch.tensor([31.5 / 32, 24.5 / 48]) * 56)
    pairs = scores_within(samples)
    assert pairs.same.tolist() == [True, False, False]
    assert pairs.scores["features"][0] > pairs.scores["features"][1:].max() + 0.2


def test_a_model_without_a_head_has_no_codes() -> None:
    segmenter, image = tiny_segmenter(head=False), striped_image(0)
    labels = striped_labels(0).astype(np.int64)
    samples = sample_pixels(segmenter, image, labels, np.array([[0, 0], [9, 9]]))
    assert set(scores_within(samples).scores) == {"features", "crf"}
    assert set(scores_between(samples, samples).scores) == {"features"}
