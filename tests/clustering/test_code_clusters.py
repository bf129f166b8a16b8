"""Clustering codes: prototypes, and classes from them."""

import faiss
import pytest
import torch
import torch.nn.functional as F

from segdistill.clustering import code_clusters as module
from segdistill.clustering.code_clusters import (
    FINALISTS,
    classes_of_prototypes,
    cluster_prototypes,
    group_shares,
    mean_similarity,
    nearest_centres,
    order_by_share,
    prototype_classes,
    quantise_codes,
    refine_clusters,
    relabel_sequential,
    spherical_kmeans,
)
from segdistill.model.class_sets import ClassSet
from segdistill.model.description import SegmentClass, numbered_classes


def mixture(shares: list[float], locations: int, *, spread: float = 0.25) -> torch.Tensor:
    """Return codes of several kinds, around directions at right angles to each other."""
    generator = torch.Generator().manual_seed(0)
    middles = torch.eye(len(shares), 16)
    counts = [max(1, round(share * locations)) for share in shares]
    kinds = torch.arange(len(shares)).repeat_interleave(torch.tensor(counts))
    noise = torch.randn(len(kinds), 16, generator=generator) * spread
    return middles[kinds] + noise


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


def test_too_few_locations() -> None:
    with pytest.raises(ValueError, match="cannot make"):
        spherical_kmeans(torch.randn(2, 3), 3, seed=0)


def test_order_by_share() -> None:
    codes = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    assert order_by_share(torch.eye(2), codes).tolist() == [[0, 1], [1, 0]]


def test_prototypes_account_for_all_codes() -> None:
    codes = mixture([0.5, 0.3, 0.2], 4000) * 7
    prototypes, owners = quantise_codes(codes, count=64, seed=0)
    assert 48 <= len(prototypes.vectors) <= 80
    assert owners.shape == (4000,)
    counts = torch.bincount(owners, minlength=len(prototypes.shares))
    assert counts.min() > 0
    torch.testing.assert_close(prototypes.shares, counts / 4000)
    units = F.normalize(codes, dim=1)
    torch.testing.assert_close(prototypes.vectors.sum(dim=0), units.mean(dim=0))
    for number in (0, 17, 40):
        own = units[owners == number].sum(dim=0) / 4000
        torch.testing.assert_close(prototypes.vectors[number], own)
    again = quantise_codes(codes, count=64, seed=0)
    torch.testing.assert_close(again.prototypes.vectors, prototypes.vectors, rtol=0, atol=0)


def test_a_small_kind_gets_a_single_prototype() -> None:
    prototypes, _ = quantise_codes(mixture([0.6, 0.3, 0.1], 1000, spread=0.02), count=9, seed=0)
    # Of nine: its share of 0.9, and so on.
    assert prototypes.vectors.argmax(dim=1).bincount().tolist() == [5, 3, 1]


def test_few_locations_are_prototypes_of_their_own() -> None:
    codes = torch.randn(30, 4)
    prototypes, owners = quantise_codes(codes, seed=0)
    assert owners.tolist() == list(range(30))
    torch.testing.assert_close(prototypes.vectors, F.normalize(codes, dim=1) / 30)


@pytest.mark.parametrize("clusters", [3, 7, 12])
def test_it_fits_as_well_as_k_means_on_all_codes(clusters: int) -> None:
    codes = mixture([0.1] * 10, 6000, spread=0.4)
    directions = F.normalize(codes, dim=1)
    plain = faiss.Kmeans(
        16, clusters, niter=40, nredo=5, spherical=True, max_points_per_centroid=10**6
    )
    plain.train(directions.numpy())
    ours = mean_similarity(directions, spherical_kmeans(codes, clusters, seed=0))
    # Both end in one of several clusterings that are as good as each other.
    assert ours > 0.9995 * mean_similarity(directions, torch.from_numpy(plain.centroids))


def test_a_judge_chooses_among_many_starts() -> None:
    codes = mixture([0.1] * 10, 4000, spread=0.6)
    directions = F.normalize(codes, dim=1)
    candidates = cluster_prototypes(quantise_codes(codes, seed=0).prototypes, 6, seed=0)
    seen: list[float] = []

    def second_axis(centres: torch.Tensor) -> float:
        """Prefers the clustering that has a centre closest to one axis."""
        seen.append(float(centres[:, 1].max()))
        return seen[-1]

    judged = refine_clusters(codes, candidates, seed=0, judge=second_axis)
    assert len(seen) == min(40, len(candidates)) > 12
    assert float(judged[:, 1].max()) == pytest.approx(max(seen), abs=0.05)
    assert mean_similarity(directions, judged) <= mean_similarity(
        directions, refine_clusters(codes, candidates, seed=0)
    )


def test_rare_kinds_survive() -> None:
    shares = [0.5, 0.3, 0.15, 0.04, 0.006, 0.004]
    codes = mixture(shares, 20_000, spread=0.1)
    quantised = quantise_codes(codes, seed=0)
    kinds = torch.eye(6, 16)
    for centres in (
        spherical_kmeans(codes, 6, seed=0),
        classes_of_prototypes(quantised.prototypes, 6),
    ):
        torch.testing.assert_close(centres, kinds, atol=0.03, rtol=0)


def test_more_classes_than_prototypes_or_kinds() -> None:
    same = torch.ones(2000, 3)
    prototypes, _ = quantise_codes(same, seed=0)
    candidates = cluster_prototypes(prototypes, 4, seed=0)
    centres = refine_clusters(same, candidates, seed=0)
    assert centres.shape == (4, 3)
    assert centres.isfinite().all()
    assert spherical_kmeans(torch.zeros(50, 3), 2, seed=0).isfinite().all()


def test_nearest_centres_do_not_mind_lengths() -> None:
    prototypes, _ = quantise_codes(torch.eye(3), seed=0)
    centres = torch.tensor([[0.0, 0, 9], [0.1, 0, 0], [0, 5, 0]])
    assert nearest_centres(prototypes, centres).tolist() == [1, 2, 0]


def test_renumbered() -> None:
    assert relabel_sequential(torch.tensor([5, 9, 5, 0])).tolist() == [1, 2, 1, 0]


def test_prototypes_have_the_class_of_their_nearest_cluster() -> None:
    prototypes, _ = quantise_codes(torch.eye(4), seed=0)
    centres = torch.eye(4)[[2, 0, 3, 1]]  # cluster 0 is around prototype 2, and so on
    classes = ClassSet(
        (
            SegmentClass(0, "a", (0, 0, 0), (1, 2)),
            SegmentClass(1, "b", (0, 0, 0), (3,)),
            SegmentClass(2, "c", (0, 0, 0), (0,)),
        ),
        centres,
    )
    assert prototype_classes(prototypes, classes).tolist() == [0, 1, 2, 0]
    unmerged = ClassSet(tuple(numbered_classes(4)), centres)
    assert prototype_classes(prototypes, unmerged).tolist() == [1, 3, 0, 2]


def test_shares_of_clusters_are_those_of_their_prototypes() -> None:
    prototypes, _ = quantise_codes(mixture([0.5, 0.3, 0.2], 1000, spread=0.05), count=30, seed=0)
    centres = torch.eye(3, 16)[[2, 0, 1]]
    torch.testing.assert_close(
        group_shares(prototypes, centres), torch.tensor([0.2, 0.5, 0.3]).double()
    )
    assert classes_of_prototypes(prototypes, 3).argmax(dim=1).tolist() == [0, 1, 2]
    far = torch.cat([centres, -torch.ones(1, 16)])
    assert group_shares(prototypes, far)[3] == 0


def test_as_many_clusters_as_locations() -> None:
    codes = torch.eye(3)
    assert set(map(tuple, spherical_kmeans(codes, 3, seed=0).tolist())) == set(
        map(tuple, codes.tolist())
    )


def test_the_codes_that_candidates_are_compared_on_depend_on_the_seed_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COMPARED_LOCATIONS", 40)
    seen = []

    def remembered(directions: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        seen.append(directions)
        return F.normalize(centres, dim=1)

    monkeypatch.setattr(module, "_kmeans_from", remembered)
    codes = mixture([0.6, 0.4], 400)
    candidates = torch.eye(2, 16).double().expand(20, 2, 16)
    for state, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(state)
        refine_clusters(codes, candidates, seed=seed)
    compared = [each for each in seen if len(each) == 40]
    assert len(compared) == 3 * FINALISTS
    first, second, third = compared[::FINALISTS]
    assert first.equal(second)
    assert not first.equal(third)


def test_the_best_clustering_wins_without_a_judge() -> None:
    codes = mixture([0.4, 0.3, 0.2, 0.1], 2000, spread=0.2)
    good = F.normalize(torch.eye(4, 16), dim=1)
    poor = torch.eye(16)[12:]  # where no code is
    for candidates in (torch.stack([poor, good]), torch.stack([good, poor])):
        found = refine_clusters(codes * 3, candidates.double(), seed=0)
        torch.testing.assert_close(found, good, atol=0.05, rtol=0)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


def test_mean_similarity_is_that_of_the_nearest_centres() -> None:
    directions = F.normalize(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    centres = directions[:3]
    expected = sum(max(float(d @ c) for c in centres) for d in directions) / 50
    assert mean_similarity(directions, centres) == pytest.approx(expected, abs=1e-6)
    assert mean_similarity(directions, directions) == pytest.approx(1, abs=1e-6)


def test_order_by_share_counts_directions_and_empty_clusters() -> None:
    codes = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1], [1, 0.1]])
    centres = torch.tensor([[9.0, 0.0], [-1.0, -1.0], [0.0, 0.1]])
    assert order_by_share(centres, codes).tolist() == centres[[2, 0, 1]].tolist()
    ties = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert order_by_share(ties, torch.eye(2)).equal(ties)


def test_about_as_many_prototypes_as_asked_for_in_proportion_to_the_codes() -> None:
    codes = mixture([0.7, 0.2, 0.1], 3000, spread=0.1)
    prototypes, owners = quantise_codes(codes, count=50, seed=0)
    kinds = prototypes.vectors.argmax(dim=1).bincount(minlength=3)
    assert 45 <= len(prototypes.shares) <= 55
    torch.testing.assert_close(
        kinds[:3] / len(prototypes.shares), torch.tensor([0.7, 0.2, 0.1]), atol=0.06, rtol=0
    )
    # Prototypes are alike inside: each is a small part of its kind.
    directions = F.normalize(codes, dim=1)
    own = F.normalize(prototypes.vectors, dim=1)[owners]
    whole = F.normalize(torch.eye(3, 16), dim=1)[codes.argmax(dim=1)]
    assert (directions * own).sum(dim=1).mean() > (directions * whole).sum(dim=1).mean()
    assert (
        len({quantise_codes(codes, count=50, seed=seed).owners.sum().item() for seed in range(3)})
        > 1
    )
