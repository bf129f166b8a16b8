"""The depth term, against golden values, plain forms and what depth means."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.objective.correspondence import correspondence
from segdistill.objective.depth_correlation import (
    SimilarityKind,
    depth_correlation_loss,
    depth_similarity,
    pairwise_distances,
    released_depth_correlation,
    typical_distance,
)

KINDS: list[SimilarityKind] = ["product", "difference", "distance"]
QUARTER_TURN = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def drawn(seed: int, locations: int = 7, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, locations, generator=generator)
    return depth, torch.randn(batch, locations, 3, generator=generator)


def plain_similarity(
    depth: torch.Tensor, points: torch.Tensor, kind: SimilarityKind
) -> torch.Tensor:
    """Of one image, pair by pair."""
    locations = range(len(depth))

    def apart(p: int, q: int) -> float:
        between = points[p] - points[q] if kind == "distance" else depth[p] - depth[q]
        return math.sqrt(between.square().sum().item())

    distances = sorted(apart(p, q) for p in locations for q in range(p))
    scale = distances[(len(distances) - 1) // 2]
    similarity = torch.empty(len(depth), len(depth))
    for p in locations:
        for q in locations:
            similarity[p, q] = {
                "product": float(depth[p] * depth[q]),
                "difference": math.exp(-apart(p, q) / scale),
                "distance": math.exp(-(apart(p, q) ** 2) / (2 * scale**2)),
            }[kind]
    return similarity


def test_the_released_form_is_golden() -> None:
    values = golden("depth_correlation_as_released")
    similarity = released_depth_correlation(values["depth"][:, 0], 11)
    codes = (
        values["code"].flatten(2).mT
    )  # (batch, channels, 11, 11) -> (batch, locations, channels)
    loss = depth_correlation_loss(similarity, correspondence(codes, codes), values["shift"])
    sides = (2, 11, 11, 11, 11)
    torch.testing.assert_close(
        similarity.view(sides), values["depth_correlation"], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(loss.view(sides), values["loss"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locations", [2, 5, 8])
def test_similarity_is_the_plain_form(kind: SimilarityKind, locations: int) -> None:
    depth, points = drawn(locations, locations)
    similarity = depth_similarity(depth, points, kind=kind)
    for image in range(2):
        expected = plain_similarity(depth[image], points[image], kind)
        torch.testing.assert_close(similarity[image], expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), locations=st.integers(1, 9), kind=st.sampled_from(KINDS))
def test_similarity_is_symmetric_and_in_range(
    seed: int, locations: int, kind: SimilarityKind
) -> None:
    similarity = depth_similarity(*drawn(seed, locations), kind=kind)
    torch.testing.assert_close(similarity, similarity.mT)
    assert ((similarity >= 0) & (similarity <= 1)).all()
    if kind != "product":
        assert (similarity.diagonal(dim1=1, dim2=2) == 1).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), factor=st.floats(1e-3, 1e3))
def test_units_do_not_matter(seed: int, factor: float) -> None:
    depth, points = drawn(seed)
    for kind in ("difference", "distance"):
        torch.testing.assert_close(
            depth_similarity(factor * depth, factor * points, kind=kind),
            depth_similarity(depth, points, kind=kind),
            atol=1e-4,
            rtol=1e-4,
        )


def test_where_the_camera_stands_does_not_matter_to_distance() -> None:
    depth, points = drawn(0)
    moved = points @ QUARTER_TURN.mT + torch.tensor([1.0, 2.0, -3.0])
    torch.testing.assert_close(
        depth_similarity(depth, moved, kind="distance"),
        depth_similarity(depth, points, kind="distance"),
    )


def test_distance_tells_apart_what_is_equally_far() -> None:
    depth = torch.tensor([[2.0, 2.0, 2.0]])
    points = torch.tensor([[[-4.0, 0.0, 2.0], [4.0, 0.0, 2.0], [3.9, 0.0, 2.0]]])
    assert (depth_similarity(depth, kind="difference") == 1).all()
    similarity = depth_similarity(depth, points, kind="distance")[0]
    assert similarity[1, 2] > 0.99
    assert similarity[0, 1] < 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_depth_neither_attracts_nor_repels(kind: SimilarityKind) -> None:
    depth, points = drawn(1)
    depth[0, 2], depth[1, 3] = math.nan, math.inf
    points[0, 2], points[1, 3] = math.nan, math.inf
    similarity = depth_similarity(depth, points, kind=kind)
    unknown = torch.zeros(2, 7, 7, dtype=torch.bool)
    for image, location in ((0, 2), (1, 3)):
        unknown[image, location] = unknown[image, :, location] = True
    assert similarity.isnan().equal(unknown)
    kept = torch.arange(7) != 2
    alone = depth_similarity(depth[:1, kept], points[:1, kept], kind=kind)
    torch.testing.assert_close(similarity[:1, kept][:, :, kept], alone)

    codes = torch.ones(2, 7, 7, requires_grad=True)
    loss = depth_correlation_loss(similarity, codes, 0.1)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert codes.grad is not None
    assert codes.grad.isfinite().all()
    assert (codes.grad[unknown] == 0).all()
    assert (loss[unknown] == 0).all()


def test_an_image_without_depth_has_no_loss() -> None:
    depth, points = torch.full((1, 4), math.nan), torch.full((1, 4, 3), math.nan)
    for kind in KINDS:
        similarity = depth_similarity(depth, points, kind=kind)
        assert (depth_correlation_loss(similarity, torch.ones(1, 4, 4), 0.1) == 0).all()


def test_a_scene_of_one_depth_and_a_speck() -> None:
    depth = torch.zeros(1, 12)
    depth[0, -1] = 1.0  # more than half of the pairs differ by 0
    similarity = depth_similarity(depth, kind="difference")
    assert (similarity[0, :-1, :-1] == 1).all()
    assert (similarity[0, -1, :-1] < 1e-6).all()


def test_outliers_hardly_change_the_scale() -> None:
    depth = torch.linspace(0, 1, 50)[None]
    usual = typical_distance(pairwise_distances(depth[:, :, None])).item()
    depth[0, -1] = 10.0
    assert typical_distance(pairwise_distances(depth[:, :, None])).item() == pytest.approx(
        usual, rel=0.1
    )


def test_distance_takes_points() -> None:
    with pytest.raises(ValueError, match="give points"):
        depth_similarity(torch.rand(1, 3), kind="distance")


@pytest.mark.parametrize("zero_clamp", [False, True])
@pytest.mark.parametrize("stabilize", [False, True])
def test_gradient_agrees_with_finite_differences(zero_clamp: bool, stabilize: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    codes = torch.randn(2, 4, 3, dtype=torch.double, generator=generator, requires_grad=True)
    similarity = depth_similarity(torch.rand(2, 4, dtype=torch.double, generator=generator))

    def loss(codes: torch.Tensor) -> torch.Tensor:
        return depth_correlation_loss(
            similarity,
            correspondence(codes, codes),
            0.03,
            zero_clamp=zero_clamp,
            stabilize=stabilize,
        ).mean()

    assert torch.autograd.gradcheck(loss, (codes,))


def test_no_gradient_flows_into_depth() -> None:
    depth = torch.rand(1, 3, requires_grad=True)
    assert not depth_similarity(depth, kind="difference").requires_grad
