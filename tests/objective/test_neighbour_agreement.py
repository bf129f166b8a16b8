"""Neighbours in other images, and how well clusters keep them together."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective import neighbour_agreement as module
from segdistill.objective.neighbour_agreement import nearest_in_other_images, neighbour_agreement


def test_neighbours_against_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=generator)
    images = torch.arange(40) % 5
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    found = nearest_in_other_images(features, images, 3)
    for location in range(40):
        similarity = [
            (float(F.cosine_similarity(features[location], features[other], dim=0)), other)
            for other in range(40)
            if images[other] != images[location]
        ]
        expected = [other for _, other in sorted(similarity, reverse=True)[:3]]
        assert found[location].tolist() == expected


def test_of_one_image_any_other_location_counts() -> None:
    found = nearest_in_other_images(torch.eye(4) + 0.1, torch.zeros(4, dtype=torch.int64), 10)
    assert found.shape == (4, 3)
    assert all(location not in row for location, row in enumerate(found.tolist()))


def test_no_more_neighbours_than_all_locations_have() -> None:
    images = torch.tensor([0, 0, 0, 1])
    assert nearest_in_other_images(torch.randn(4, 2), images, 10).shape == (4, 1)
    with pytest.raises(ValueError, match="one location alone"):
        nearest_in_other_images(torch.randn(1, 2), images[:1], 1)


@settings(max_examples=40, deadline=None)
@given(clusters=st.lists(st.integers(0, 4), min_size=4, max_size=30), seed=st.integers(0, 99))
def test_agreement_against_counting(clusters: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    count = len(clusters)
    neighbours = torch.randint(count, (count, 3), generator=generator)
    same = [clusters[i] == clusters[j] for i in range(count) for j in neighbours[i].tolist()]
    chance = sum(one == other for one in clusters for other in clusters) / count**2
    expected = 0.0 if chance == 1 else (sum(same) / len(same) - chance) / (1 - chance)
    found = neighbour_agreement(torch.tensor(clusters), neighbours)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found <= 1 + 1e-9


def test_clusters_that_know_nothing_of_neighbours_score_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    clusters = torch.randint(5, (4000,), generator=generator)
    neighbours = torch.randint(4000, (4000, 8), generator=generator)
    assert abs(neighbour_agreement(clusters, neighbours)) < 0.02
