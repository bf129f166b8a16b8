"""Classes that replace others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segdistill.model.description import SegmentClass, inherit_names, numbered_classes


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6))
def test_colours_and_indices_stay_distinct(before: int, after: int, seed: int) -> None:
    overlap = np.random.default_rng(seed).dirichlet(np.full(before * after, 0.2))
    classes = inherit_names(numbered_classes(before), overlap.reshape(before, after))
    assert [each.index for each in classes] == list(range(after))
    assert len({each.colour for each in classes}) == after
    assert [each.name for each in classes] == [f"class {index}" for index in range(after)]


def test_names_go_with_what_they_name() -> None:
    former = [
        SegmentClass(0, "road", (1, 1, 1)),
        SegmentClass(1, "class 1", (2, 2, 2)),
        SegmentClass(2, "sky", (3, 3, 3)),
    ]
    # Sky stays, road is split in two halves, class 1 gives a third of its places away.
    overlap = np.array([[0, 0.2, 0.2, 0], [0.1, 0, 0, 0.2], [0, 0, 0, 0.3]])
    names = [each.name for each in inherit_names(former, overlap[:, :3])]
    assert names == ["class 0", "class 1", "class 2"]
    classes = inherit_names(former, overlap)
    assert [each.name for each in classes] == ["class 0", "class 1", "class 2", "sky"]
    assert classes[3].colour == (3, 3, 3)
    same = inherit_names(former, np.diag([0.5, 0.3, 0.2]))
    assert list(same) == former
