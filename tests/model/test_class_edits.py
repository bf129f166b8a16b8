"""Naming, merging and hiding classes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import TinyBackbone, striped_image

from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.class_edits import coloured, hidden, merged, named
from segdistill.model.description import (
    SegmentClass,
    SegmenterSettings,
    check_members,
    numbered_classes,
)
from segdistill.model.segmenter import Segmenter

FIVE = numbered_classes(5)


def model(classes: tuple[SegmentClass, ...]) -> Segmenter:
    centres = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    settings = SegmenterSettings(64, classes)
    return Segmenter(TinyBackbone(), FeaturePreparation((3, 3)), None, centres, settings)


def test_names() -> None:
    classes = named(FIVE, {1: "  a \n tree ", 3: "road"})
    assert [each.name for each in classes] == ["class 0", "a tree", "class 2", "road", "class 4"]
    assert named(classes, {1: "", 3: " "}) == FIVE
    # Names may change places.
    swapped = named(classes, {1: "road", 3: "a tree"})
    assert [swapped[1].name, swapped[3].name] == ["road", "a tree"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({5: "sky"}, "there is no class 5; classes go from 0 to 4"),
        ({-1: "sky"}, "there is no class -1"),
        ({0: "sky", 1: "sky"}, "classes 0 and 1 would both be called 'sky'"),
        ({0: "class 3"}, "classes 0 and 3 would both be called 'class 3'"),
        ({0: "x" * 81}, "at most 80 characters"),
        ({0: "a\udcff"}, "not valid Unicode"),
    ],
)
def test_names_that_cannot_be(names: dict[int, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        named(FIVE, names)


def test_colours_and_hiding() -> None:
    classes = hidden(coloured(FIVE, {2: (1, 2, 3)}), [0, 2], hide=True)
    assert classes[2].colour == (1, 2, 3)
    assert [each.hidden for each in classes] == [True, False, True, False, False]
    assert hidden(classes, [0, 2], hide=False) == coloured(FIVE, {2: (1, 2, 3)})


def test_a_merged_class_is_what_its_parts_were() -> None:
    classes = merged(named(FIVE, {3: "road"}), [3, 1])
    assert [each.name for each in classes] == ["class 0", "road", "class 2", "class 3"]
    assert classes[1].colour == FIVE[3].colour
    assert [each.members for each in classes] == [(0,), (1, 3), (2,), (4,)]
    image = striped_image(0)
    before, after = model(FIVE), model(classes)
    whole = before.grid_scores(image)
    scores = after.grid_scores(image)
    torch.testing.assert_close(scores[0, 1], torch.maximum(whole[0, 1], whole[0, 3]))
    torch.testing.assert_close(scores[0, [0, 2, 3]], whole[0, [0, 2, 4]])
    table = np.array([0, 1, 2, 1, 3], np.uint8)
    expected = table[before.segment(image, upsampling="bilinear")]
    assert (after.segment(image, upsampling="bilinear") == expected).mean() > 0.98
    pixels = torch.rand(1, 3, 32, 32)
    assert after(pixels).shape[1] == 4


@given(st.lists(st.sets(st.integers(0, 3), min_size=2, max_size=3), max_size=3))
def test_merges_share_out_all_clusters(merges: list[set[int]]) -> None:
    classes = FIVE
    for indices in merges:
        inside = {index for index in indices if index < len(classes)}
        if len(inside) > 1:
            fewer = merged(classes, inside)
            assert len(fewer) == len(classes) - len(inside) + 1
            classes = fewer
    check_members(classes, 5)


def test_merges_that_cannot_be() -> None:
    with pytest.raises(UserError, match="at least two"):
        merged(FIVE, [2, 2])
    with pytest.raises(UserError, match="no class 9"):
        merged(FIVE, [2, 9])


def test_classes_must_share_out_the_clusters() -> None:
    with pytest.raises(ValueError, match="4 classes, but 5 cluster centres"):
        model(FIVE[:4])
    with pytest.raises(ValueError, match="indices"):
        model(FIVE[::-1])
