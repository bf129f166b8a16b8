"""Gradients of every loss, against finite differences in double precision.

Inputs keep clear of the kinks at clamps, ties and cell borders, where finite differences are wrong.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from segdistill.config.settings import ObjectiveSettings
from segdistill.objective.clusters import (
    cluster_log_probabilities,
    cluster_loss,
    cluster_similarity,
)
from segdistill.objective.contrastive_crf import (
    contrastive_crf_loss,
    log_pairwise_kernel,
    pairwise_kernel,
)
from segdistill.objective.correspondence import (
    centre_pointwise,
    correspondence,
    correspondence_loss,
)
from segdistill.objective.optional_terms import alignment_loss, reconstruction_loss
from segdistill.objective.stego import SampledMaps, Shifts, stego_objective

CLEAR = 1e-3
"""How far inputs keep from a kink; finite differences step by 1e-6."""

Tensors = tuple[torch.Tensor, ...]
SWITCHES = [
    {"pointwise": pointwise, "zero_clamp": zero_clamp, "stabilize": stabilize}
    for pointwise, zero_clamp, stabilize in itertools.product([False, True], repeat=3)
]
by_switches = pytest.mark.parametrize("switches", SWITCHES, ids=str)


@dataclass(frozen=True)
class Case:
    """A function and inputs of it that take a gradient."""

    function: Callable[..., torch.Tensor]
    inputs: Tensors


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.double, generator=generator)


def clear_correlations(*shape: int) -> torch.Tensor:
    """Values in -1..1 on all sides of the clamps at 0 and 0.8, and clear of both."""
    values = torch.tanh(drawn(*shape, seed=1) * 1.2)
    values = torch.where(values.abs() < 0.05, 0.05, values)
    return torch.where((values - 0.8).abs() < 0.05, 0.9, values)


def correspondence_of_codes(
    first: torch.Tensor, second: torch.Tensor, **switches: bool
) -> torch.Tensor:
    features = correspondence(drawn(2, 4, 5, seed=2), drawn(2, 3, 5, seed=3))
    codes = correspondence(first, second)
    assert codes.abs().min() > CLEAR
    assert (codes - 0.8).abs().min() > CLEAR
    return correspondence_loss(features, codes, 0.1, **switches)


def clusters_of_codes(codes: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    similarity = cluster_similarity(codes, centres)
    best, second = similarity.topk(2, dim=1).values.unbind(dim=1)
    assert (best - second).min() > CLEAR
    return cluster_loss(similarity)


def objective_of_codes(*codes: torch.Tensor) -> torch.Tensor:
    # Positive channels make positive correlations, clear of the clamp at 0.
    anchors, positives, negatives = (
        SampledMaps(drawn(3, 4, 5, seed=seed), part.exp()) for seed, part in enumerate(codes)
    )
    partners = torch.tensor([[1, 2, 0], [2, 0, 1]])
    terms = stego_objective(
        anchors, positives, negatives, partners, Shifts(0.1, 0.2, 0.3), ObjectiveSettings()
    )
    return terms.total(ObjectiveSettings())


CELLS = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 3]])
KERNEL_COLOURS = drawn(2, 4, 3, seed=4) * 0.5

CASES = {
    "correspondence": Case(correspondence, (drawn(2, 4, 3), drawn(2, 3, 3, seed=1))),
    "centring": Case(centre_pointwise, (drawn(2, 3, 4),)),
    "stego": Case(objective_of_codes, tuple(drawn(3, 4, 2, seed=seed) for seed in range(3))),
    "clusters": Case(clusters_of_codes, (drawn(2, 4, 2, 3), drawn(3, 4, seed=1))),
    "cluster-log-probabilities": Case(cluster_log_probabilities, (drawn(2, 3, 2, 2),)),
    "contrastive-crf": Case(
        lambda colours, codes: contrastive_crf_loss(colours, codes, CELLS),
        (KERNEL_COLOURS, drawn(2, 4, 3)),
    ),
    "pairwise-kernel": Case(lambda colours: pairwise_kernel(colours, CELLS), (KERNEL_COLOURS,)),
    "log-pairwise-kernel": Case(
        lambda colours: log_pairwise_kernel(colours, CELLS), (KERNEL_COLOURS,)
    ),
    "reconstruction": Case(reconstruction_loss, (drawn(2, 3, 4), drawn(2, 3, 4, seed=1))),
    "alignment": Case(alignment_loss, (drawn(2, 3, 4), drawn(2, 3, 4, seed=1))),
}


def check(function: Callable[..., torch.Tensor], inputs: Tensors) -> None:
    leaves = tuple(value.clone().requires_grad_() for value in inputs)
    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_differences(name: str) -> None:
    check(CASES[name].function, CASES[name].inputs)


@by_switches
def test_correspondence_loss_has_its_gradient_under_every_switch(switches: dict[str, bool]) -> None:
    features = drawn(2, 5, 6).tanh()
    correlations = clear_correlations(2, 5, 6)
    assert (correlations < 0).any()
    assert (correlations > 0.8).any()
    check(
        lambda values: correspondence_loss(features, values, 0.1, **switches),
        (correlations,),
    )
    check(
        lambda first, second: correspondence_of_codes(first, second, **switches),
        (drawn(2, 4, 3), drawn(2, 3, 3, seed=1)),
    )


@by_switches
def test_clamped_codes_get_no_gradient(switches: dict[str, bool]) -> None:
    correlations = clear_correlations(2, 5, 6).requires_grad_()
    loss = correspondence_loss(drawn(2, 5, 6).tanh(), correlations, 0.1, **switches)
    (gradient,) = torch.autograd.grad(loss.sum(), correlations)
    clamped = torch.zeros_like(correlations, dtype=torch.bool)
    if switches["zero_clamp"]:
        clamped |= correlations < 0
    if switches["stabilize"]:
        clamped |= correlations > 0.8
    assert ((gradient == 0) == clamped).all()


@pytest.mark.parametrize("pointwise", [True, False])
def test_no_gradient_reaches_feature_correlations(pointwise: bool) -> None:
    features = drawn(2, 5, 6).tanh().requires_grad_()
    correlations = clear_correlations(2, 5, 6).requires_grad_()
    loss = correspondence_loss(features, correlations, 0.1, pointwise=pointwise)
    reached, _ = torch.autograd.grad(loss.sum(), [features, correlations], allow_unused=True)
    assert reached is None


def test_no_gradient_reaches_features_through_the_objective() -> None:
    features = [drawn(3, 4, 5, seed=seed).requires_grad_() for seed in range(3)]
    codes = [drawn(3, 4, 2, seed=seed).exp().requires_grad_() for seed in range(3)]
    maps = [SampledMaps(*pair) for pair in zip(features, codes, strict=True)]
    partners = torch.tensor([[1, 2, 0]])
    settings = ObjectiveSettings(pointwise=False)
    terms = stego_objective(maps[0], maps[1], maps[2], partners, Shifts(0.1, 0.2, 0.3), settings)
    gradients = torch.autograd.grad(terms.total(settings), [*features, *codes], allow_unused=True)
    assert all(gradient is None for gradient in gradients[:3])
    assert all(gradient.any() for gradient in gradients[3:])
