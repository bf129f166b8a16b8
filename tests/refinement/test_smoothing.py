"""Steady labels: scores averaged along the motion of what is seen."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.helpers import striped_image

from segdistill.images.resize import resize_image
from segdistill.refinement.smoothing import (
    SUBDIVISIONS,
    ScoreSmoother,
    block_colours,
    find_motion,
    warp,
)


def texture(seed: int, height: int = 256, width: int = 320) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return resize_image(coarse, (height, width))


def test_still_pictures_give_an_exponential_average() -> None:
    image = striped_image(0)
    generator = torch.Generator().manual_seed(0)
    frames = [torch.rand(1, 3, 8, 12, generator=generator) for _ in range(6)]
    smoother = ScoreSmoother(0.6)
    expected = frames[0]
    torch.testing.assert_close(smoother.smoothed(frames[0], image), expected)
    for frame in frames[1:]:
        expected = 0.6 * expected + 0.4 * frame
        torch.testing.assert_close(smoother.smoothed(frame, image), expected)


def test_without_strength_nothing_changes() -> None:
    smoother = ScoreSmoother(0.0)
    for seed in range(3):
        scores = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(seed))
        assert smoother.smoothed(scores, texture(seed)) is scores


def test_scores_go_along_with_what_they_are_of() -> None:
    """A camera that pans by a cell a frame: what was known of a thing stays with it."""
    wide = texture(0, 256, 480)
    smoother = ScoreSmoother(0.8)
    thing = torch.zeros(1, 1, 16, 30)
    thing[..., 12:20] = 1
    for step in range(4):
        left = 16 * step
        image = wide[:, left : left + 320]
        known = thing[..., step : step + 20]
        # Only the first frame knows the thing.
        scores = known if step == 0 else torch.zeros_like(known)
        found = smoother.smoothed(scores, image)
    inner = known[0, 0, 4:12, 4:16] > 0
    expected = 0.8**3
    assert found[0, 0, 4:12, 4:16][inner].mean().item() == pytest.approx(expected, rel=0.15)
    assert found[0, 0, 4:12, 4:16][~inner].mean().item() < 0.1


def test_motion_is_found_and_undone() -> None:
    image = texture(3)
    before = block_colours(image, (16, 20))
    assert before.shape == (3, 16 * SUBDIVISIONS, 20 * SUBDIVISIONS)
    after = before.roll((3, -5), dims=(1, 2))
    motion = find_motion(after, before)
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert (motion.shift[inner] == torch.tensor([-3.0, 5.0])[:, None, None]).all()
    assert motion.difference[inner[1:]].max() < 1e-6
    scores = torch.arange(16.0)[None, None, :, None].expand(1, 1, 16, 20)
    back = warp(scores, motion.shift)[0, 0, 4:-4, 4:-4]
    torch.testing.assert_close(back, scores[0, 0, 4:-4, 4:-4] - 3 / SUBDIVISIONS)


def test_a_cut_begins_anew() -> None:
    smoother = ScoreSmoother(0.9)
    dark = striped_image(0) // 4
    smoother.smoothed(torch.zeros(1, 2, 8, 12), dark)
    scores = torch.ones(1, 2, 8, 12)
    torch.testing.assert_close(smoother.smoothed(scores, 255 - dark), scores)
    smoother.reset()
    torch.testing.assert_close(smoother.smoothed(scores * 3, 255 - dark), scores * 3)
    # So does a frame of another size.
    other = torch.ones(1, 2, 4, 4)
    torch.testing.assert_close(smoother.smoothed(other, dark[:32, :32]), other)


def test_what_appears_is_judged_by_its_own_frame() -> None:
    image = np.full((128, 192, 3), 60, np.uint8)
    smoother = ScoreSmoother(0.9)
    smoother.smoothed(torch.zeros(1, 1, 8, 12), image)
    changed = image.copy()
    changed[32:64, 32:64] = 250
    found = smoother.smoothed(torch.ones(1, 1, 8, 12), changed)[0, 0]
    assert found[2:4, 2:4].min() > 0.8
    assert found[6:, 8:].max() < 0.2
