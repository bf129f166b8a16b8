"""The merge tree, against a plain form of itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.merge_tree import cut_tree, merge_tree


def random_vectors(count: int, seed: int, channels: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, generator=generator).double()


def plain_tree(vectors: torch.Tensor) -> tuple[list[list[int]], list[float]]:
    """Merge by looking at every pair every time."""
    sums = dict(enumerate(vectors.numpy()))
    merges: list[list[int]] = []
    heights: list[float] = []
    while len(sums) > 1:
        cost, one, other = min(
            (
                np.linalg.norm(sums[i])
                + np.linalg.norm(sums[j])
                - np.linalg.norm(sums[i] + sums[j]),
                i,
                j,
            )
            for i in sums
            for j in sums
            if i < j
        )
        sums[len(vectors) + len(merges)] = sums.pop(one) + sums.pop(other)
        merges.append([one, other])
        heights.append(float(cost))
    return merges, np.maximum.accumulate(heights).tolist()


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 14), st.integers(0, 10**6))
def test_it_merges_as_the_plain_form_does(count: int, seed: int) -> None:
    vectors = random_vectors(count, seed)
    merges, heights = merge_tree(vectors)
    expected_merges, expected_heights = plain_tree(vectors)
    assert merges.tolist() == expected_merges
    np.testing.assert_allclose(heights.numpy(), expected_heights, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 30), st.integers(0, 10**6))
def test_cuts_are_nested_and_lose_what_the_heights_say(count: int, seed: int) -> None:
    vectors = random_vectors(count, seed, channels=3).abs()
    merges, heights = merge_tree(vectors)
    assert cut_tree(merges, count).tolist() == list(range(count))
    assert not cut_tree(merges, 1).any()
    whole = vectors.norm(dim=1).sum()
    finer = cut_tree(merges, count)
    for groups in range(count - 1, 0, -1):
        coarser = cut_tree(merges, groups)
        assert len(coarser.unique()) == groups  # type: ignore[no-untyped-call]
        pairs = {(int(one), int(other)) for one, other in zip(finer, coarser, strict=True)}
        assert len(pairs) == groups + 1, "a group of the finer cut lies in two of the coarser"
        sums = torch.zeros(groups, 3).double().index_add_(0, coarser, vectors)
        lost = whole - sums.norm(dim=1).sum()
        # Heights are made never to fall, so that together they may say a little more.
        assert lost <= heights[: count - groups].sum() + 1e-9
        finer = coarser


def test_groups_are_numbered_by_their_first_prototype() -> None:
    merges, _ = merge_tree(torch.tensor([[0, 1], [1, 0], [0.1, 2], [3, 0.1]]))
    assert cut_tree(merges, 2).tolist() == [0, 1, 0, 1]


def test_prototypes_that_are_alike_or_alone() -> None:
    merges, heights = merge_tree(torch.ones(4, 2))
    assert heights.abs().max() < 1e-12
    assert len(cut_tree(merges, 3).unique()) == 3  # type: ignore[no-untyped-call]
    merges, heights = merge_tree(torch.ones(1, 2))
    assert merges.shape == (0, 2)
    assert cut_tree(merges, 1).tolist() == [0]
    for groups in (0, 2):
        with pytest.raises(ValueError, match="1 prototypes cannot make"):
            cut_tree(merges, groups)
