"""Coarse, medium and fine clusters, against their definition in loops."""

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from segdistill.clustering import levels as module
from segdistill.clustering.code_clusters import (
    cluster_prototypes,
    group_shares,
    quantise_codes,
    spherical_kmeans,
)
from segdistill.clustering.levels import coarse_count, fine_count, levels_of_prototypes
from segdistill.model.prototypes import Prototypes


@pytest.fixture(scope="module")
def prototypes() -> Prototypes:
    codes = torch.randn(900, 8, generator=torch.Generator().manual_seed(5))
    return quantise_codes(codes, count=150, seed=0).prototypes


@pytest.fixture(scope="module")
def medium() -> torch.Tensor:
    codes = torch.randn(900, 8, generator=torch.Generator().manual_seed(5))
    return spherical_kmeans(codes, 5, seed=0)


def nearest(prototypes: Prototypes, centres: torch.Tensor) -> list[int]:
    directions = F.normalize(prototypes.vectors, dim=1)
    return [int((centres @ vector).argmax()) for vector in directions]


@pytest.mark.parametrize("coarse", [None, 2, 4])
def test_levels_are_the_plain_form(
    prototypes: Prototypes, medium: torch.Tensor, coarse: int | None
) -> None:
    centres, levels = levels_of_prototypes(prototypes, medium, coarse=coarse, seed=0)
    owners = nearest(prototypes, medium)
    shares = prototypes.shares.tolist()
    fine_shares = [0.0] * len(centres)
    for prototype, cluster in enumerate(nearest(prototypes, centres)):
        fine_shares[cluster] += shares[prototype]
    # Fine clusters come largest first, each a class of its own.
    assert fine_shares == pytest.approx(sorted(fine_shares, reverse=True))
    assert levels.fine == tuple((cluster,) for cluster in range(len(centres)))
    # Each class is split in proportion to its share; each part keeps near its class.
    held = [sum(s for s, o in zip(shares, owners, strict=True) if o == each) for each in range(5)]
    expected = [min(owners.count(each), max(1, round(20 * held[each]))) for each in range(5)]
    sizes = [len(group) for group in levels.medium]
    assert Counter(sizes) == Counter(expected)
    of_group = [sum(fine_shares[c] for c in group) for group in levels.medium]
    assert of_group == pytest.approx(sorted(of_group, reverse=True))
    assert all(list(group) == sorted(group) for group in levels.medium)
    # A coarse class is the medium classes that most of whose codes lie in one coarse cluster.
    wanted = coarse or 3
    coarse_of = nearest(prototypes, cluster_prototypes(prototypes, wanted, seed=0)[0].float())
    unions = set()
    for each in range(wanted):
        members = set()
        for number in range(5):
            votes: Counter[int] = Counter()
            for prototype, owner in enumerate(owners):
                if owner == number:
                    votes[coarse_of[prototype]] += shares[prototype]
            if votes.most_common(1)[0][0] == each:
                members.add(number)
        if members:
            unions.add(frozenset(members))
    assert len(levels.coarse) == len(unions)
    for union in levels.coarse:
        inside = [group for group in levels.medium if set(group) <= set(union)]
        assert sorted(c for group in inside for c in group) == sorted(union)
    coarse_shares = [sum(fine_shares[c] for c in union) for union in levels.coarse]
    assert coarse_shares == pytest.approx(sorted(coarse_shares, reverse=True))


@pytest.mark.parametrize("coarse", [5, 6])
def test_as_many_coarse_classes_as_medium_ones(
    prototypes: Prototypes, medium: torch.Tensor, coarse: int
) -> None:
    _, levels = levels_of_prototypes(prototypes, medium, coarse=coarse)
    assert levels.coarse == levels.medium


def test_the_seed_counts(prototypes: Prototypes, medium: torch.Tensor) -> None:
    found = [levels_of_prototypes(prototypes, medium, seed=seed).centres for seed in (0, 0, 1)]
    assert found[0].equal(found[1])
    assert not found[0].equal(found[2])


def test_parts_of_a_class_are_nearer_to_it_than_to_others() -> None:
    # Two far apart kinds, the larger of four subkinds.
    generator = torch.Generator().manual_seed(0)
    kinds = torch.tensor([[1.0, 0.2, 0, 0], [1, -0.2, 0, 0], [1, 0, 0.2, 0], [0, 0, 0, 1.0]])
    codes = kinds.repeat_interleave(100, dim=0) + 0.01 * torch.randn(400, 4, generator=generator)
    prototypes = quantise_codes(codes, count=80, seed=0).prototypes
    medium = F.normalize(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]]), dim=1)
    centres, levels = levels_of_prototypes(prototypes, medium)
    assert [len(group) for group in levels.medium] == [6, 2]  # of eight: three quarters and one
    first, second = (centres[list(group)] for group in levels.medium)
    assert (first @ medium[0] > 0.95).all()
    assert (second @ medium[1] > 0.95).all()
    assert float(group_shares(prototypes, medium).sum()) == pytest.approx(1)


def test_a_small_class_stays_a_single_cluster() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.eye(2, 4).repeat_interleave(torch.tensor([390, 10]), dim=0)
    codes = kinds + 0.05 * torch.randn(400, 4, generator=generator)
    prototypes = quantise_codes(codes, count=80, seed=0).prototypes
    owners = nearest(prototypes, torch.eye(2, 4))
    assert owners.count(1) > 1  # it could be split
    _, levels = levels_of_prototypes(prototypes, torch.eye(2, 4))
    assert [len(group) for group in levels.medium] == [8, 1]


def test_the_best_of_several_clusterings_is_taken(
    prototypes: Prototypes, medium: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = levels_of_prototypes(prototypes, medium)
    for name in ("cluster_vectors", "cluster_prototypes"):
        original = getattr(module, name)

        def best_only(*args: Any, of: Any = original, **settings: Any) -> torch.Tensor:
            found: torch.Tensor = of(*args, **settings)
            return torch.cat([found[:1], torch.full_like(found[1:], torch.nan)])

        monkeypatch.setattr(module, name, best_only)
    found = levels_of_prototypes(prototypes, medium)
    assert found.centres.equal(expected.centres)
    assert found.levels == expected.levels


def test_numbers_of_levels() -> None:
    assert [coarse_count(n) for n in (1, 2, 3, 4, 5, 10, 27)] == [2, 2, 2, 2, 3, 5, 14]
    assert [fine_count(n) for n in (1, 2, 31, 32, 33, 128, 129, 300)] == [
        4,
        8,
        124,
        128,
        128,
        128,
        129,
        300,
    ]
