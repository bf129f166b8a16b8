"""Estimating the number of classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segdistill.clustering import class_count as module
from segdistill.clustering.class_count import (
    adjusted_rand_index,
    choose_counts,
    estimate_class_count,
    mean_silhouette,
    random_halves,
)
from segdistill.clustering.code_clusters import quantise_codes
from segdistill.config.settings import DEFAULT_CLASSES
from segdistill.runs.facts import ClassCount


def estimated(codes: torch.Tensor, images: int = 20, seed: int = 0) -> ClassCount:
    numbers = torch.arange(len(codes)) * images // len(codes)
    # Each image holds a little of everything.
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(1))
    return estimate_class_count(
        codes[order], numbers, quantise_codes(codes[order], seed=seed), seed=seed
    )


@cache
def estimated_for_kinds(count: int, seed: int = 0) -> ClassCount:
    return estimated(kinds(count), seed=seed)


def kinds(count: int, *, locations: int = 3000, spread: float = 0.12) -> torch.Tensor:
    """Return codes of some kinds whose shares fall from the first to the last."""
    generator = torch.Generator().manual_seed(count)
    shares = torch.linspace(3, 1, count)
    owners = torch.multinomial(shares, locations, replacement=True, generator=generator)
    middles = F.normalize(torch.randn(count, 24, generator=generator), dim=1)
    return middles[owners] + spread * torch.randn(locations, 24, generator=generator)


@pytest.mark.parametrize(
    "count",
    [3, pytest.param(5, marks=pytest.mark.slow), 8, pytest.param(13, marks=pytest.mark.slow)],
)
def test_the_number_of_kinds_is_found(count: int) -> None:
    found = estimated_for_kinds(count)
    # The medium number leans to the fine side, but not beyond what is reproducible.
    assert count <= found.chosen <= max(2 * count, 8)
    assert found.chosen >= 6
    assert found.coarse <= count
    assert found.fine == 4 * found.chosen
    assert found.confidence == "high"
    assert not found.is_default
    at = found.candidates.index(count)
    assert found.stability[at] > 0.98
    assert found.silhouette[at] == max(found.silhouette)
    assert len(found.stability) == len(found.silhouette) == len(found.candidates)


def test_two_kinds_never_give_two_classes() -> None:
    assert estimated(kinds(2)).chosen >= 6


def test_without_a_reproducible_number_the_default_is_taken() -> None:
    generator = torch.Generator().manual_seed(0)
    found = estimated(torch.randn(3000, 24, generator=generator))
    assert found.is_default
    assert found.confidence == "none"
    assert found.chosen == DEFAULT_CLASSES
    assert max(found.stability) < 0.5


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_seeds_agree_on_the_number(seed: int) -> None:
    assert estimated_for_kinds(8, seed).chosen == estimated_for_kinds(8).chosen


def test_the_same_seed_gives_the_same_curve() -> None:
    codes = kinds(3, locations=400)
    assert estimated(codes) == estimated(codes)


def test_few_locations_and_a_single_image() -> None:
    codes = kinds(3, locations=60)
    found = estimated(codes, images=1)
    assert found.coarse <= found.chosen
    assert estimated(codes[:5], images=2).candidates == (3, 4)
    assert estimated(codes[:5], images=2).chosen <= 5
    assert estimated(codes[:2], images=2).chosen == 2
    assert 1 <= estimated(torch.ones(9, 3)).chosen <= 9


def test_progress_counts_each_number_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[tuple[str, int, bool]] = []
    advanced: list[int] = []

    @contextmanager
    def remembered(label: str, steps: int, *, shown: bool) -> Iterator[Any]:
        bars.append((label, steps, shown))
        yield advanced.append

    monkeypatch.setattr(module, "progress_bar", remembered)
    codes = kinds(3, locations=12)
    quantised = quantise_codes(codes, seed=0)
    numbers = torch.arange(12)
    found = estimate_class_count(codes, numbers, quantised, seed=0, progress=True)
    estimate_class_count(codes, numbers, quantised, seed=0)
    count = len(found.candidates)
    assert bars == [("Counting classes", count, True), ("Counting classes", count, False)]
    assert advanced == [1] * 2 * count


def test_images_are_halved_as_a_whole() -> None:
    images = torch.arange(10).repeat_interleave(7)
    halves = random_halves(images, seed=0)
    for half in halves:
        by_image = half.view(10, 7)
        assert (by_image.all(dim=1) | ~by_image.any(dim=1)).all()
        assert half.sum() == 35
    assert len({tuple(half.tolist()) for half in halves}) > 1
    for half in random_halves(torch.zeros(8, dtype=torch.int64), seed=0):
        assert half.sum() == 4


def test_adjusted_rand_index_against_pairs() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 3, 40), random.integers(0, 4, 40)
    weights = random.random(40)
    weights /= weights.sum()
    pairs = list(product(range(40), repeat=2))

    def total(mask: np.ndarray) -> float:
        return float(sum(weights[i] * weights[j] for i, j in pairs if mask[i, j]))

    same_one, same_other = one[:, None] == one, other[:, None] == other
    together, first, second = map(total, (same_one & same_other, same_one, same_other))
    expected = (together - first * second) / ((first + second) / 2 - first * second)
    found = adjusted_rand_index(*map(torch.from_numpy, (one, other, weights)))
    assert found == pytest.approx(expected)
    assert adjusted_rand_index(torch.zeros(4).long(), torch.zeros(4).long(), torch.ones(4) / 4) == 1


def test_silhouette_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.rand(30, 5, generator=generator).double()
    shares = torch.rand(30, generator=generator)
    shares /= shares.sum()
    centres = F.normalize(torch.rand(4, 5, generator=generator), dim=1).double()
    expected = 0.0
    for vector, share in zip(vectors, shares, strict=True):
        distances = sorted(1 - float(vector @ centre / vector.norm()) for centre in centres)
        expected += float(share) * (1 - distances[0] / distances[1])
    assert mean_silhouette(vectors, shares, centres) == pytest.approx(expected)
    assert mean_silhouette(vectors, shares, centres[[0, 0]]) == 0
    # Nothing tells two centres apart for a vector that is both.
    same = torch.eye(5)[[0, 0]].double()
    assert mean_silhouette(same[:1], torch.ones(1).double(), same) == 0


def test_choices_follow_stability() -> None:
    silhouette = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    numbers = list(range(3, 11))
    # The best separated number is 4; from there, stability holds up to 8.
    coarse, medium, confidence = choose_counts(
        numbers, [0.9, 0.95, 0.9, 0.9, 0.9, 0.85, 0.75, 0.5], silhouette
    )
    assert (coarse, medium, confidence) == (4, 8, "high")
    # Confidence falls with stability at the coarse number.
    assert choose_counts(numbers, [0.85] * 8, silhouette)[2] == "low"
    assert choose_counts(numbers, [0.79] * 8, silhouette) == (6, DEFAULT_CLASSES, "none")
    # A few classes count only if they are clear, and even then six are made of them.
    few = [0.85, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert choose_counts(numbers, few, silhouette)[2] == "none"
    assert choose_counts(numbers, [0.98, *few[1:]], silhouette) == (3, 6, "high")
