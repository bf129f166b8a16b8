"""Levels group the same clusters; names and colours come along."""

import numpy as np
import pytest
import torch

from segdistill.clustering.code_clusters import quantise_codes, spherical_kmeans
from segdistill.clustering.levels import fine_count, levels_of_prototypes
from segdistill.model.description import SegmentClass
from segdistill.model.levels import LEVEL_NAMES, Levels, grouped_classes, regrouped_classes

LEVELS = Levels(((0, 1, 2), (3,)), ((0, 2), (1,), (3,)), ((0,), (1,), (2,), (3,)))
SHARES = np.array([0.4, 0.3, 0.2, 0.1])


def test_levels_must_group_all_clusters_once() -> None:
    for coarse in (((0, 1), (3,)), ((0, 1, 2), (2, 3)), ((0, 1, 2, 3, 4),)):
        with pytest.raises(ValueError, match="level coarse does not group 4 clusters"):
            Levels(coarse, LEVELS.medium, LEVELS.fine)


def test_the_level_of_classes_is_recognised() -> None:
    for name in LEVEL_NAMES:
        assert LEVELS.level_of(grouped_classes(LEVELS.grouping(name))) == name
    assert LEVELS.level_of(grouped_classes(((0, 1), (2, 3)))) is None


def test_names_and_colours_come_along() -> None:
    first, second, third = grouped_classes(LEVELS.medium)
    road = SegmentClass(0, "road", (90, 90, 90), first.clusters)
    hidden = SegmentClass(1, "class 1", (1, 2, 3), second.clusters, hidden=True)
    fine = regrouped_classes([road, hidden, third], LEVELS.fine, SHARES)
    assert [each.name for each in fine] == ["road 1", "class 1", "road 2", "class 3"]
    assert [each.hidden for each in fine] == [False, True, False, False]
    assert fine[1].colour == (1, 2, 3)
    assert len({each.colour for each in fine}) == 4
    coarse = regrouped_classes([road, hidden, third], LEVELS.coarse, SHARES)
    assert [(each.name, each.colour, each.hidden) for each in coarse] == [
        ("road", (90, 90, 90), False),
        ("class 1", third.colour, False),
    ]
    # Two named classes: neither gives its name to their union.
    sky = SegmentClass(1, "sky", (1, 2, 3), second.clusters)
    assert regrouped_classes([road, sky, third], LEVELS.coarse, SHARES)[0].name == "class 0"


def test_names_that_exist_already_are_not_given_twice() -> None:
    road = SegmentClass(0, "road", (90, 90, 90), (0, 1))
    other = SegmentClass(1, "road 1", (9, 9, 9), (2,))
    names = [each.name for each in regrouped_classes([road, other], ((0,), (1,), (2,)), SHARES[:3])]
    assert len(set(names)) == 3


@pytest.mark.parametrize("classes", [2, 5, 9])
def test_levels_of_codes_are_nested_and_ordered_by_share(classes: int) -> None:
    codes = torch.randn(900, 8, generator=torch.Generator().manual_seed(classes))
    prototypes = quantise_codes(codes, count=200, seed=0).prototypes
    medium = spherical_kmeans(codes, classes, seed=0)
    centres, levels = levels_of_prototypes(prototypes, medium)
    assert levels.counts["medium"] == classes
    assert classes < levels.counts["fine"] == len(centres) <= fine_count(classes) + classes
    assert 2 <= levels.counts["coarse"] <= classes
    for lower, upper in (("fine", "medium"), ("medium", "coarse")):
        groups = [set(group) for group in levels.grouping(upper)]  # type: ignore[arg-type]
        for group in levels.grouping(lower):  # type: ignore[arg-type]
            assert sum(set(group) <= each for each in groups) == 1
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(len(centres)))
    again = levels_of_prototypes(prototypes, medium)
    torch.testing.assert_close(again.centres, centres)
    assert again.levels == levels


def test_a_class_without_prototypes_stays_one_cluster() -> None:
    codes = torch.nn.functional.normalize(torch.rand(50, 4), dim=1)
    medium = torch.cat([spherical_kmeans(codes, 2, seed=0), -torch.ones(1, 4) / 2])
    _, levels = levels_of_prototypes(quantise_codes(codes, seed=0).prototypes, medium)
    assert levels.counts["medium"] == 3
