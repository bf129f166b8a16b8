"""Nearest neighbours, against golden values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.features.neighbours import nearest_neighbours


def test_neighbours_are_golden() -> None:
    values = golden("knn")
    own = torch.arange(len(values["features"]))
    assert torch.equal(values["neighbours"][:, 0], own)
    found = nearest_neighbours(values["features"], 29)
    assert torch.equal(found, values["neighbours"][:, 1:])


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 12), wanted=st.integers(1, 15), seed=st.integers(0, 99))
def test_an_image_is_never_its_own_neighbour(count: int, wanted: int, seed: int) -> None:
    # Few directions, so that identical images occur.
    directions = torch.eye(3)[
        torch.randint(3, (count,), generator=torch.Generator().manual_seed(seed))
    ]
    found = nearest_neighbours(directions, wanted)
    assert found.shape == (count, min(wanted, count - 1))
    assert (found != torch.arange(count)[:, None]).all()


def test_one_image_has_no_neighbour() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        nearest_neighbours(torch.ones(1, 3), 1)
