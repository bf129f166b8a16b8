"""Choosing numbers of classes, against the rules in loops, and the curves they are chosen from."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.clustering.class_count import (
    CANDIDATES,
    choose_counts,
    estimate_class_count,
    mean_agreement,
    mean_silhouette,
    random_halves,
)
from segdistill.clustering.code_clusters import quantise_codes
from segdistill.config.settings import DEFAULT_CLASSES
from segdistill.objective.merge_tree import cut_tree
from segdistill.objective.spherical_kmeans import cluster_vectors


def plain_choice(
    candidates: list[int], stability: list[float], silhouette: list[float]
) -> tuple[int, int, str]:
    """The rules of the documentation, one after the other."""
    products = [s * t for s, t in zip(stability, silhouette, strict=True)]
    peak = products.index(max(products))  # the first of equals
    largest = candidates[peak]
    for place in range(peak + 1, len(candidates)):
        around = stability[place - 1 : place + 2]
        if sum(around) / len(around) < 0.8:
            break
        largest = candidates[place]
    enough = 0.9 if largest < 6 else 0.8
    if stability[peak] < enough:
        return 6, DEFAULT_CLASSES, "none"
    coarse = candidates[peak]
    medium = max(6, min(largest, max(2 * coarse, 8)))
    return (
        min(coarse, max(2, 2 * medium // 3)),
        medium,
        "high" if stability[peak] >= 0.9 else "low",
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data(), start=st.integers(2, 12), count=st.integers(1, 9))
def test_choices_are_the_plain_form(data: st.DataObject, start: int, count: int) -> None:
    candidates = list(range(start, start + count))
    tenths = st.lists(st.integers(10, 20), min_size=count, max_size=count)
    stability = [value / 20 for value in data.draw(tenths)]
    silhouette = [value / 20 for value in data.draw(tenths)]
    found = choose_counts(candidates, stability, silhouette)
    assert found == plain_choice(candidates, stability, silhouette)


def test_exactly_stable_enough() -> None:
    # 0.8 holds, also for the peak; 0.9 is clear.
    assert choose_counts([6, 7], [0.8, 0.8], [0.6, 0.5]) == (4, 7, "low")
    assert choose_counts([6, 7], [0.9, 0.9], [0.6, 0.5]) == (4, 7, "high")
    assert choose_counts([5], [0.9], [0.5]) == (4, 6, "high")
    assert choose_counts([5], [0.89], [0.5]) == (6, DEFAULT_CLASSES, "none")
    assert choose_counts([3, 4], [0.95, 0.95], [0.5, 0.5]) == (3, 6, "high")


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    middles = F.normalize(torch.randn(4, 6, generator=generator), dim=1)
    return middles.repeat_interleave(40, dim=0) * 3 + 0.2 * torch.randn(160, 6, generator=generator)


def test_curves_are_of_groups_of_codes(codes: torch.Tensor) -> None:
    images = torch.arange(160) % 8 + 3  # numbers of images need not start at 0
    quantised = quantise_codes(codes, count=20, seed=0)
    found = estimate_class_count(codes, images, quantised, seed=1)
    groups = quantised.owners  # as few prototypes as these are not grouped further
    count = int(groups.max()) + 1
    directions = F.normalize(codes, dim=1).double()

    def sums(kept: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [directions[kept & (groups == each)].sum(dim=0) for each in range(count)]
        )

    whole = sums(torch.ones(160, dtype=torch.bool))
    order = cut_tree(quantised.prototypes.merges, count)
    whole = torch.stack([whole[order == each].sum(dim=0) for each in range(count)])
    shares = torch.stack([(order[groups] == each).double().mean() for each in range(count)])
    halves = [
        tuple(
            torch.stack([sums(kept)[order == each].sum(dim=0) for each in range(count)])
            for kept in (half, ~half)
        )
        for half in random_halves(images, seed=1)
    ]
    assert found.candidates == tuple(number for number in CANDIDATES if number < count)
    for number in (3, 4, 7):
        at = found.candidates.index(number)
        stability = mean_agreement(whole, shares, halves, number, seed=1)  # type: ignore[arg-type]
        assert found.stability[at] == pytest.approx(stability, abs=1e-6)
        centres = cluster_vectors(whole, number, seed=1, restarts=8)[0]
        assert found.silhouette[at] == pytest.approx(
            mean_silhouette(whole, shares, centres), abs=1e-6
        )
    assert found.needed == 0.8
    assert (found.coarse, found.chosen, found.confidence) == choose_counts(
        found.candidates, found.stability, found.silhouette
    )
    assert found.fine == min(4 * found.chosen, count)


def test_few_codes_bound_every_number(codes: torch.Tensor) -> None:
    def of(count: int) -> tuple[tuple[int, ...], int, int, int, tuple[float, ...]]:
        few = codes[:: 160 // count][:count]
        found = estimate_class_count(few, torch.arange(count), quantise_codes(few, seed=0), seed=0)
        return found.candidates, found.coarse, found.chosen, found.fine, found.silhouette

    assert of(1) == ((1,), 1, 1, 1, (0.0,))
    candidates, coarse, medium, fine, silhouette = of(2)
    assert (candidates, medium, fine) == ((2,), 2, 2)
    assert 1 <= coarse <= 2
    assert silhouette == pytest.approx((1.0,))
    candidates, coarse, medium, fine, _ = of(5)
    assert candidates == (3, 4)
    assert medium == 5
    assert fine == 5
    assert of(4)[0] == (3,)
    assert of(3)[0] == (2,)


def test_halves_of_few_images_are_halves_of_codes() -> None:
    three = torch.tensor([0, 0, 0, 4, 4, 4, 9, 9, 9, 9])
    halves = random_halves(three, seed=0)
    assert len(halves) == 10
    assert all(half.sum() == 5 for half in halves)
    # With four images, each image is in one half as a whole.
    four = torch.tensor([0, 0, 0, 4, 4, 4, 9, 9, 9, 7])
    for half in random_halves(four, seed=0):
        for image in four.unique():  # type: ignore[no-untyped-call]
            assert len(half[four == image].unique()) == 1  # type: ignore[no-untyped-call]
        assert len(four[half].unique()) == 2  # type: ignore[no-untyped-call]
    drawn = [torch.stack(random_halves(four, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
