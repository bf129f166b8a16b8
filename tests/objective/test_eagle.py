"""EAGLE's objects against loops, and on graphs whose objects are known."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.eagle import (
    COLOUR_WIDTH,
    affinity,
    eigen_clusters,
    matching_objects,
    object_contrast,
    object_prototypes,
    smooth_eigenvectors,
    sums_of_clusters,
)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_affinity_is_that_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(1, 4, 3, generator=generator)
    colours = 0.3 * torch.rand(1, 4, 3, generator=generator)
    found = affinity(codes, colours, 0.4)[0]
    products = [[max(float(a @ b), 0.0) for b in codes[0]] for a in codes[0]]
    greatest = max(map(max, products))
    for p in range(4):
        for q in range(4):
            apart = float((colours[0, p] - colours[0, q]).norm())
            alike = math.exp(-((apart / COLOUR_WIDTH) ** 2) / 2)
            expected = products[p][q] / greatest + 0.4 * alike
            assert math.isclose(found[p, q].item(), expected, abs_tol=1e-5)


def test_codes_that_all_are_zero_leave_the_colours() -> None:
    weights = affinity(torch.zeros(1, 3, 2), torch.zeros(1, 3, 3), 0.5)
    assert (weights == 0.5).all()


def test_eigenvectors_are_those_of_the_normalised_laplacian() -> None:
    weights = torch.rand(2, 6, 6, dtype=torch.float64) + 0.1
    weights = weights + weights.mT
    vectors = smooth_eigenvectors(weights, 2)
    for graph, own in zip(weights, vectors, strict=True):
        degrees = graph.sum(dim=1)
        laplacian = (torch.diag(degrees) - graph) / (degrees[:, None] * degrees).sqrt()
        values = torch.linalg.eigvalsh(laplacian)
        assert abs(values[0]) < 1e-9
        torch.testing.assert_close(laplacian @ own, own * values[1:3])
        torch.testing.assert_close(own.mT @ own, torch.eye(2, dtype=torch.float64))


def test_groups_that_are_hardly_joined_are_objects() -> None:
    sizes = (4, 5, 3)
    known = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    blocks = (known[:, None] == known).float() + 1e-3
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    vectors = smooth_eigenvectors(blocks[order][:, order][None], 2)
    found = eigen_clusters(vectors, 3)[0]
    known = known[order]
    for group in range(3):
        assert len(set(found[known == group].tolist())) == 1
    assert len(set(found.tolist())) == 3


def test_the_order_of_locations_changes_no_group() -> None:
    features, colours = torch.randn(1, 10, 4), torch.rand(1, 10, 3)
    order = torch.randperm(10)

    def together(which: torch.Tensor) -> torch.Tensor:
        weights = affinity(features[:, which], colours[:, which], 0.1)
        owners = eigen_clusters(smooth_eigenvectors(weights.double(), 3), 4)[0]
        return owners[:, None] == owners

    assert torch.equal(together(order), together(torch.arange(10))[order][:, order])


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_contrast_is_that_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(2, 5, 3, generator=generator)
    owners = torch.randint(3, (2, 5), generator=generator)
    objects, counts = sums_of_clusters(codes, owners, 4)
    total = 0.0
    for image in range(2):
        used = set(owners[image].tolist())
        means = {k: codes[image][owners[image] == k].mean(dim=0) for k in used}
        for code, own in zip(codes[image], owners[image].tolist(), strict=True):
            scores = {k: math.exp(cosine(code, mean) / 0.5) for k, mean in means.items()}
            total -= math.log(scores[own] / sum(scores.values()))
    found = object_contrast(codes, owners, objects, counts, 0.5)
    assert math.isclose(found.item(), total / 10, rel_tol=1e-4, abs_tol=1e-5)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_prototypes_are_the_medoids_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(2, 7, 3, generator=generator, requires_grad=True)
    owners = torch.randint(3, (2, 7), generator=generator)
    found = object_prototypes(codes, owners, 3)
    medoids, values = set(), codes.detach()
    for image in range(2):
        for k in set(owners[image].tolist()):
            own = [p for p in range(7) if owners[image, p] == k]
            summed = {
                p: sum(float((values[image, p] - values[image, q]).norm()) for q in own)
                for p in own
            }
            # Both of two members are as near: the nearest by rounding.
            nearest = [p for p in own if summed[p] < min(summed.values()) + 1e-5]
            matched = [p for p in nearest if torch.equal(found[image, k], values[image, p])]
            assert len(matched) == 1
            medoids.add((image, matched[0]))
    (gradient,) = torch.autograd.grad(found.sum(), codes)
    reached = {(int(i), int(p)) for i, p in gradient.abs().sum(dim=2).nonzero()}
    assert medoids <= reached


def test_objects_match_the_most_similar_that_is_not_empty() -> None:
    own = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    other = torch.tensor([[[1.0, 0.0], [1.0, 0.2], [0.1, 1.0]]])
    counts = torch.tensor([[[0.0], [3.0], [2.0]]])
    assert matching_objects(own, other, counts).tolist() == [[1, 2]]
