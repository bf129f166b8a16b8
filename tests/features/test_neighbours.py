"""Nearest neighbours: golden values, exact search in blocks, recall of approximate search."""

import logging

import faiss
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.features import inverted_file
from segdistill.features import neighbours as neighbours_module
from segdistill.features.inverted_file import InvertedFile, learn_centroids
from segdistill.features.neighbours import MIN_RECALL, nearest_neighbours, recall


def frames_of(frames: int, channels: int = 32, seed: int = 0) -> torch.Tensor:
    """Descriptors of videos of 20 frames each, of which some stand still."""
    random = torch.Generator().manual_seed(seed)
    scenes = torch.randn(frames // 20, channels, generator=random)
    change = torch.rand(frames // 20, 1, generator=random).round() / 5
    change = change * torch.randn(20, frames // 20, channels, generator=random)
    return F.normalize((scenes + change).flatten(0, 1), dim=1)  # (20, videos, c) -> (frames, c)


def similarities(descriptors: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nc,nkc->nk", descriptors, descriptors[found])


def true_similarities(descriptors: torch.Tensor, count: int) -> torch.Tensor:
    """By the matrix of all pairs."""
    pairs = descriptors @ descriptors.mT
    pairs.fill_diagonal_(-2)
    return pairs.topk(count, dim=1).values


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


def test_blocks_find_what_one_search_of_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = frames_of(600)
    index = faiss.IndexFlatIP(descriptors.shape[1])
    index.add(descriptors.numpy())
    _, whole = index.search(descriptors.numpy(), 8)
    expected = [[other for other in row if other != own][:7] for own, row in enumerate(whole)]
    monkeypatch.setattr(neighbours_module, "QUERY_BLOCK", 64)
    assert nearest_neighbours(descriptors, 7).tolist() == expected


@pytest.mark.parametrize("count", [1, 7, 15])
def test_approximate_neighbours_are_nearly_all_true(
    caplog: pytest.LogCaptureFixture, count: int
) -> None:
    descriptors = frames_of(6000)
    with caplog.at_level(logging.INFO, logger="segdistill"):
        found = nearest_neighbours(descriptors, count, max_exact=5999)
    assert "lists, recall" in caplog.text
    assert found.shape == (6000, count)
    assert (found != torch.arange(6000)[:, None]).all()
    assert all(len(set(row)) == count for row in found.tolist())
    scores = similarities(descriptors, found)
    assert (scores.diff(dim=1) <= 1e-6).all()
    true = true_similarities(descriptors, count)
    assert recall(scores.numpy(), true.numpy()) >= MIN_RECALL - 0.005


def test_a_seed_finds_the_same_neighbours_again() -> None:
    descriptors = frames_of(4000)
    first = nearest_neighbours(descriptors, 7, max_exact=0, seed=3)
    again = nearest_neighbours(descriptors.clone(), 7, max_exact=0, seed=3)
    assert torch.equal(first, again)


def test_descriptors_without_structure_are_searched_exactly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noise = F.normalize(torch.randn(3000, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    with caplog.at_level(logging.INFO, logger="segdistill"):
        found = nearest_neighbours(noise, 7, max_exact=0)
    assert "exact search" in caplog.text
    assert torch.equal(found, nearest_neighbours(noise, 7))


@pytest.mark.parametrize("images", [2, 3, 40])
def test_few_or_identical_images_do_not_trouble_the_approximate_search(images: int) -> None:
    found = nearest_neighbours(torch.ones(images, 1), 7, max_exact=0)
    assert found.shape == (images, min(7, images - 1))
    assert (found != torch.arange(images)[:, None]).all()


def test_all_images_but_a_few_identical() -> None:
    descriptors = F.normalize(
        torch.rand(2000, 8, generator=torch.Generator().manual_seed(0)), dim=1
    )
    descriptors[100:] = descriptors[0]
    found = nearest_neighbours(descriptors, 7, max_exact=0)
    assert (found != torch.arange(2000)[:, None]).all()
    scores = similarities(descriptors, found)
    assert scores[100:].min() == pytest.approx(1)
    true = true_similarities(descriptors, 7)
    assert recall(scores.numpy(), true.numpy()) >= MIN_RECALL - 0.005


def test_recall_counts_images_exactly_alike_as_true() -> None:
    exact = np.array([[0.9, 0.5, 0.5], [0.8, 0.7, 0.6]], np.float32)
    found = np.array([[0.9, 0.5, 0.4999999], [0.8, 0.6, 0.5]], np.float32)
    assert recall(found, exact) == pytest.approx(5 / 6)


def test_every_vector_is_in_the_list_of_its_most_similar_centroid() -> None:
    vectors = frames_of(2000).numpy()
    lists = InvertedFile(vectors, seed=0)
    assert sorted(lists.order.tolist()) == list(range(2000))
    nearest = (vectors @ lists.centroids.T).argmax(axis=1)
    for index in range(len(lists)):
        members = lists.members(index)
        assert len(members)
        assert (nearest[members] == index).all()


def test_searching_all_lists_is_exact_and_the_lists_needed_suffice() -> None:
    vectors = frames_of(1000)
    lists = InvertedFile(vectors.numpy(), seed=0)
    queries = np.arange(0, 1000, 10)
    true = torch.cat([torch.ones(1000, 1), true_similarities(vectors, 5)], dim=1)[queries]
    scores, found = lists.search(queries, 6, len(lists))
    np.testing.assert_allclose(scores, true, atol=1e-6)
    needed = int(lists.probes_needed(queries, found).max())
    np.testing.assert_array_equal(lists.search(queries, 6, needed)[0], scores)


def test_lists_that_hold_too_few_say_so() -> None:
    lists = InvertedFile(frames_of(1000).numpy(), seed=0)
    scores, found = lists.search(np.array([3]), 900, 1)
    members = set(lists.members(int(lists.assignments[3])).tolist())
    assert set(found[0].tolist()) == {*members, -1}
    assert (found[0] >= 0).sum() == len(members)
    assert scores[0, 0] == pytest.approx(1)


def test_centroids_are_unit_vectors_and_depend_on_the_seed_alone() -> None:
    vectors = frames_of(1000).numpy()
    centroids = learn_centroids(vectors, seed=1)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(centroids, learn_centroids(vectors, seed=1))
    assert not np.array_equal(centroids, learn_centroids(vectors, seed=2))


def test_centroids_of_many_vectors_are_learned_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    middles = np.eye(8, dtype=np.float32)
    vectors = middles[random.integers(0, 8, 2000)] + random.normal(0, 0.05, (2000, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    whole = learn_centroids(vectors, seed=0)
    monkeypatch.setattr(inverted_file, "CENTROID_VECTORS", 500)
    some, again = (learn_centroids(vectors, seed=0) for _ in range(2))
    assert some.shape == whole.shape
    np.testing.assert_array_equal(some, again)
    assert (some != whole).any()
    np.testing.assert_allclose(np.linalg.norm(some, axis=1), 1, atol=1e-5)
    # They still stand for all vectors nearly as well.
    fits = [(vectors @ centroids.T).max(axis=1).mean() for centroids in (some, whole)]
    assert fits[0] > fits[1] - 0.01
