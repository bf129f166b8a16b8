"""Spherical k-means."""

import pytest
import torch
import torch.nn.functional as F

from segdistill.training.clustering import order_by_share, spherical_kmeans


def test_well_separated_directions_are_found() -> None:
    directions = torch.eye(4)
    counts = [400, 300, 200, 100]
    codes = torch.cat(
        [direction.expand(count, 4) for direction, count in zip(directions, counts, strict=True)]
    )
    codes = (codes + 0.05 * torch.randn_like(codes)) * torch.rand(1000, 1).add(0.1)
    centres = spherical_kmeans(codes, 4, seed=0)
    torch.testing.assert_close(centres, directions, atol=0.05, rtol=0)


def test_the_same_seed_gives_the_same_centres() -> None:
    codes = torch.randn(500, 6)
    torch.testing.assert_close(
        spherical_kmeans(codes, 5, seed=3), spherical_kmeans(codes, 5, seed=3)
    )


def test_centres_are_unit_vectors_that_fit_better_than_random_ones() -> None:
    codes = F.normalize(torch.randn(800, 6), dim=1)
    centres = spherical_kmeans(codes, 7, seed=0)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(7), atol=1e-4, rtol=0)
    fit = (codes @ centres.mT).max(dim=1).values.mean()
    random_fit = (codes @ codes[:7].mT).max(dim=1).values.mean()
    assert fit > random_fit


def test_too_few_places() -> None:
    with pytest.raises(ValueError, match="cannot make"):
        spherical_kmeans(torch.randn(2, 3), 3, seed=0)


def test_order_by_share() -> None:
    codes = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    assert order_by_share(torch.eye(2), codes).tolist() == [[0, 1], [1, 0]]
