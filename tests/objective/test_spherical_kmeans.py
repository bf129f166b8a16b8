"""Spherical k-means over weighted vectors."""

import pytest
import torch
import torch.nn.functional as F

from segdistill.objective import spherical_kmeans as module
from segdistill.objective.spherical_kmeans import (
    cluster_vectors,
    group_sums,
    kmeans_plus_plus,
    refine_centres,
)


def unit(count: int, seed: int, channels: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, channels, generator=generator).double(), dim=1)


def plain_kmeans(vectors: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Move centres one by one."""
    centres = centres.clone()
    for _ in range(100):
        nearest = [int((centres @ vector).argmax()) for vector in vectors]
        for cluster in range(len(centres)):
            members = [v for v, each in zip(vectors, nearest, strict=True) if each == cluster]
            if members:
                total = torch.stack(members).sum(dim=0)
                centres[cluster] = total / total.norm()
    return centres, float((vectors @ centres.mT).amax(dim=1).sum())


def test_several_starts_move_as_each_would_alone() -> None:
    vectors = unit(60, 0)
    starts = torch.stack([unit(4, 1), unit(4, 2), unit(4, 3)])
    centres, fits = refine_centres(vectors, starts)
    for start, moved, fit in zip(starts, centres, fits, strict=True):
        expected, expected_fit = plain_kmeans(vectors, start)
        torch.testing.assert_close(moved, expected)
        assert abs(float(fit) - expected_fit) < 1e-9


def test_a_long_vector_counts_as_many() -> None:
    few = unit(20, 4)
    weights = torch.arange(20) % 3 + 1
    many = few.repeat_interleave(weights, dim=0)
    starts = unit(3, 5)[None]
    centres, fits = refine_centres(few * weights[:, None], starts)
    expected, expected_fits = refine_centres(many, starts)
    torch.testing.assert_close(centres, expected)
    torch.testing.assert_close(fits, expected_fits)


def test_the_best_comes_first_and_once() -> None:
    vectors = unit(200, 6)
    found = cluster_vectors(vectors, 5, seed=0, restarts=30)
    fits = [float((vectors @ centres.mT).amax(dim=1).sum()) for centres in found]
    assert fits == sorted(fits, reverse=True)
    assert len({round(fit, 3) for fit in fits}) == len(fits)
    again = cluster_vectors(vectors, 5, seed=0, restarts=30)
    torch.testing.assert_close(again, found, rtol=0, atol=0)
    given = refine_centres(vectors, found[:1])[0][0]
    kept = cluster_vectors(vectors, 5, seed=1, restarts=1, start=given)[0]
    assert float((vectors @ kept.mT).amax(dim=1).sum()) >= fits[0] - 1e-9


def test_starts_reach_rare_kinds() -> None:
    kinds = torch.eye(6).double()
    shares = torch.tensor([0.5, 0.3, 0.1, 0.08, 0.015, 0.005]).double()
    starts = kmeans_plus_plus(kinds * shares[:, None], 6, 10, seed=0)
    assert (starts.sum(dim=1) == 1).all(), "each start has each kind once"


def test_vectors_without_a_direction_or_alike() -> None:
    for vectors in (torch.zeros(5, 3), torch.ones(5, 3)):
        centres = cluster_vectors(vectors.double(), 3, seed=0, restarts=4)[0]
        assert centres.shape == (3, 3)
        assert centres.isfinite().all()


def test_group_sums() -> None:
    sums = group_sums(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([2, 0, 2]), 4)
    assert sums.tolist() == [[2.0], [0.0], [5.0], [0.0]]


def test_every_start_is_kept_but_for_those_that_fit_alike() -> None:
    vectors = unit(80, 8)
    starts = kmeans_plus_plus(vectors, 6, 12, seed=3)
    _, fits = refine_centres(vectors, starts)
    expected: list[float] = []
    for fit in sorted(fits.tolist(), reverse=True):
        if not expected or expected[-1] - fit > 1e-6 * max(fits.tolist()):
            expected.append(fit)
    assert len(expected) > 2
    found = cluster_vectors(vectors, 6, seed=3, restarts=12)
    kept = [float((vectors @ each.mT).amax(dim=1).sum()) for each in found]
    assert kept == pytest.approx(expected, abs=1e-9)


def test_fewer_vectors_than_candidates() -> None:
    vectors = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).double()
    best = cluster_vectors(vectors, 2, seed=0, restarts=3)[0]
    assert sorted(best.tolist()) == [[0.0, 1.0], [1.0, 0.0]]
    alone = cluster_vectors(vectors[:1], 1, seed=0, restarts=2)
    assert alone.tolist() == [[[1.0, 0.0]]]


def test_long_vectors_are_drawn_more_often() -> None:
    vectors = torch.eye(2).double() * torch.tensor([[9.0], [1.0]])
    first = kmeans_plus_plus(vectors, 1, 4000, seed=0)[:, 0]
    assert abs(float(first[:, 0].mean()) - 0.9) < 0.02
    other = kmeans_plus_plus(vectors, 1, 4000, seed=1)[:, 0]
    assert not first.equal(other)
    assert first.equal(kmeans_plus_plus(vectors, 1, 4000, seed=0)[:, 0])


def test_the_best_of_several_candidates_is_taken() -> None:
    # A lone direction far from everything: seldom drawn at once, found among four candidates.
    kinds = torch.eye(3).double()
    weights = torch.tensor([0.6, 0.3, 0.1]).double()
    starts = kmeans_plus_plus(kinds * weights[:, None], 2, 3000, seed=0)
    pairs = starts.sum(dim=1) @ torch.tensor([1.0, 2.0, 4.0]).double()
    # The two largest make the best pair; with one of them drawn, the other has a chance of 3 in 4
    # or 6 in 7 each time.
    expected = 0.6 * (1 - 0.25**4) + 0.3 * (1 - (1 / 7) ** 4)
    assert abs(float((pairs == 3).double().mean()) - expected) < 0.02


def test_empty_clusters_keep_their_centres() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1]]).double()
    far = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]).double()
    centres, fits = refine_centres(vectors, far)
    assert centres[0, 1].tolist() == [-1.0, 0.0]
    total = vectors.sum(dim=0)
    torch.testing.assert_close(centres[0, 0], total / total.norm())
    assert float(fits[0]) == pytest.approx(float(total.norm()))


def test_the_number_of_steps_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, starts = unit(60, 0), unit(4, 1)[None]
    monkeypatch.setattr(module, "ITERATIONS", 1)
    centres, fits = refine_centres(vectors, starts)
    nearest = (vectors @ starts[0].mT).argmax(dim=1)
    sums = torch.stack([vectors[nearest == each].sum(dim=0) for each in range(4)])
    torch.testing.assert_close(centres[0], F.normalize(sums, dim=1))
    assert float(fits[0]) == pytest.approx(float(sums.norm(dim=1).sum()))
