"""The merge tree of the classes, as it is drawn."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from segdistill.app.tree import MAX_LEAVES, WIDTH, Leaf, drawing_of, tree_of_classes
from segdistill.clustering.code_clusters import quantise_codes
from segdistill.model.class_edits import merged
from segdistill.model.class_sets import ClassSet, ClassSets
from segdistill.model.description import numbered_classes
from segdistill.objective.merge_tree import merge_tree


def sets_of(classes: int, seed: int = 0, *, keep: bool = True) -> ClassSets:
    """A model with so many classes of codes in 8 channels."""
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randn(400, 8, generator=draw)
    centres = torch.randn(classes, 8, generator=draw)
    current = ClassSet(numbered_classes(classes), centres)
    prototypes = quantise_codes(codes, count=100, seed=0).prototypes if keep else None
    return ClassSets(current, (), (), (), prototypes, {})


def leaves_of(count: int) -> list[Leaf]:
    return [Leaf(f"class {index}", "#000000", 0, (index,)) for index in range(count)]


def test_without_kept_codes_there_is_no_tree() -> None:
    assert tree_of_classes(sets_of(4, keep=False)) is None


@given(st.integers(2, 30), st.integers(0, 5))
def test_lines_stay_inside_and_join_what_is_merged(count: int, seed: int) -> None:
    sums = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    merges, heights = merge_tree(sums)
    drawn = drawing_of(merges.numpy(), heights.numpy(), leaves_of(count))
    assert sorted(leaf.indices for leaf in drawn.leaves) == [(index,) for index in range(count)]
    assert len(drawn.lines) == 3 * (count - 1) + 1
    lines = np.array(drawn.lines)
    assert lines[:, [0, 2]].min() >= 0
    assert lines[:, [0, 2]].max() == WIDTH
    assert lines[:, [1, 3]].min() > 0
    assert lines[:, [1, 3]].max() < count
    # Leaves of a merger lie next to each other: no line crosses another.
    upright = [(min(a, b), max(a, b)) for x, a, other, b in drawn.lines if x == other]
    assert len(upright) >= count - 1


def test_the_first_merger_is_the_cheapest_union_of_classes() -> None:
    sets = sets_of(6)
    drawn = tree_of_classes(sets)
    assert drawn is not None
    one, other = drawn.first
    united = merged(sets.current.classes, [one, other])
    assert len(united) == 5
    assert drawn.mergers[0] == f"class {one} with class {other}"


def test_many_classes_are_drawn_together() -> None:
    sets = sets_of(MAX_LEAVES + 15)
    drawn = tree_of_classes(sets)
    assert drawn is not None
    assert len(drawn.leaves) == MAX_LEAVES
    assert sum(leaf.others + 1 for leaf in drawn.leaves) == MAX_LEAVES + 15
    drawn_classes = sorted(index for leaf in drawn.leaves for index in leaf.indices)
    assert drawn_classes == list(range(MAX_LEAVES + 15))
