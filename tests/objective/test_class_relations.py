"""How classes relate, and which of them are proposed to be merged."""

import numpy as np
import pytest

from segdistill.images.lighting import LIGHTINGS, Lighting
from segdistill.objective.class_relations import BINS, MIN_SCORE, class_relations, merge_proposals

DAY = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]])
DUSK = np.where(DAY == 0, 3, DAY)


def test_counts_against_loops() -> None:
    random = np.random.default_rng(0)
    maps = [random.integers(0, 3, (7, 9)), random.integers(0, 3, (5, 4))]
    other = random.integers(0, 3, (7, 9))
    relations = class_relations(maps, [(maps[0], other)], 3)
    above, below, beside, relit = (np.zeros((3, 3)) for _ in range(4))
    for image in maps:
        height, width = image.shape
        for y in range(height):
            for x in range(width):
                if y >= 3:
                    above[image[y, x], image[y - 3, x]] += 1
                if y + 3 < height:
                    below[image[y, x], image[y + 3, x]] += 1
                for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                    if 0 <= y + down < height and 0 <= x + right < width:
                        beside[image[y, x], image[y + down, x + right]] += 1
    for before, after in zip(maps[0].ravel(), other.ravel(), strict=True):
        relit[before, after] += 1
    np.testing.assert_array_equal(relations.above, above)
    np.testing.assert_array_equal(relations.below, below)
    np.testing.assert_array_equal(relations.beside, beside)
    np.testing.assert_array_equal(relations.relit, relit)
    assert relations.positions.shape == (3, BINS**2)
    assert relations.positions.sum() == sum(image.size for image in maps)


def test_one_sky_under_two_lights_is_proposed_first() -> None:
    relations = class_relations([DAY, DUSK], [(DAY, DUSK)], 4)
    first = merge_proposals(relations)[0]
    assert first.classes == (0, 3)
    assert first.relit == pytest.approx(0.5)
    assert first.surroundings == pytest.approx(1.0, abs=1e-3)
    assert first.positions == pytest.approx(1.0)
    assert first.beside == 0
    assert first.score == pytest.approx(first.relit * first.surroundings)


def test_other_surroundings_count_less() -> None:
    # Class 0 turns into 3 and into 4 alike, but 4 lies elsewhere.
    elsewhere = np.array([[2, 2, 2, 2], [2, 2, 2, 2], [4, 4, 4, 4], [1, 1, 1, 1]])
    turned = np.where(DAY == 0, 4, DAY)
    relations = class_relations([DAY, DUSK, elsewhere], [(DAY, DUSK), (DAY, turned)], 5)
    scores = {each.classes: each.score for each in merge_proposals(relations)}
    assert scores[0, 3] > scores[0, 4]


def test_classes_that_never_change_are_not_proposed() -> None:
    assert merge_proposals(class_relations([DAY], [(DAY, DAY)], 3)) == []
    assert merge_proposals(class_relations([], [], 3)) == []
    assert len(merge_proposals(class_relations([DAY], [(DAY, DUSK)], 4), count=0)) == 0


def test_pairs_that_seldom_change_are_not_proposed() -> None:
    ground = np.ones((4, 50), np.int64)
    ground[0] = 0
    for turned, proposed in ((3, False), (6, True)):
        other = ground.copy()
        other[0, :turned] = 2
        relations = class_relations([ground, other], [(ground, other)], 3)
        found = merge_proposals(relations)
        assert [each.classes for each in found] == [(0, 2)] * proposed
        assert all(each.score >= MIN_SCORE for each in found)


def test_light_is_monotone_and_keeps_black() -> None:
    ramp = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    for lighting in LIGHTINGS:
        changed = lighting.apply(ramp)
        assert changed.shape == ramp.shape
        assert (np.diff(changed.astype(int), axis=0) >= 0).all()
        assert not changed[0].any()
        assert (changed != ramp).any()
    np.testing.assert_array_equal(Lighting().apply(ramp), ramp)
    assert len({lighting.key for lighting in LIGHTINGS}) == len(LIGHTINGS)
