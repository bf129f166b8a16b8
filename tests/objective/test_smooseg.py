"""SmooSeg's energies against loops over pairs and locations."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.smooseg import (
    assignment_logits,
    data_energy,
    smoothness_energy,
    soft_assignments,
)

SHAPES = {"batch": 2, "locations": 5, "features": 3, "classes": 4}


def drawn(seed: int) -> tuple[torch.Tensor, ...]:
    """Return features and assignments of two sets of maps."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 2, 5, 3, generator=generator, dtype=torch.float64)
    logits = torch.randn(2, 2, 5, 4, generator=generator, dtype=torch.float64)
    first, second = logits.softmax(dim=-1)
    return features[0], features[1], first, second


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


def by_loops(
    features: torch.Tensor,
    other: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    shift: float,
    partners: list[int],
) -> float:
    """Return the energy pair by pair; closeness is centred, and keeps its mean over the batch."""
    tables = [
        [[cosine(f, g) for g in other[partners[i]]] for f in maps]
        for i, maps in enumerate(features)
    ]
    everything = [value for table in tables for row in table for value in row]
    overall = sum(everything) / len(everything)
    total = 0.0
    for i, table in enumerate(tables):
        for p, row in enumerate(table):
            mean = sum(row) / len(row)
            for q, value in enumerate(row):
                disagreement = 1 - cosine(first[i, p], second[partners[i], q])
                total += (value - mean + overall - shift) * disagreement
    return total / len(everything)


@given(seed=st.integers(0, 10**6), shift=st.floats(-0.5, 0.5))
@settings(max_examples=10, deadline=None)
def test_the_smoothness_energy_is_that_of_loops(seed: int, shift: float) -> None:
    features, other, first, second = drawn(seed)
    found = []
    draws = ([0, 1], [1, 0])
    for partners in draws:
        energy = smoothness_energy(
            features, other, first, second, shift, partners=torch.tensor(partners)
        )
        expected = by_loops(features, other, first, second, shift, partners)
        assert math.isclose(energy.item(), expected, abs_tol=1e-9)
        found.append(energy.item())
    both = smoothness_energy(features, other, first, second, shift, partners=torch.tensor(draws))
    assert math.isclose(both.item(), sum(found) / 2, abs_tol=1e-9)


def test_equal_assignments_cost_nothing() -> None:
    features, other, first, _ = drawn(0)
    same = first[:, :1].expand_as(first)
    energy = smoothness_energy(features, other, same, same, 0.2)
    torch.testing.assert_close(energy, torch.zeros_like(energy), atol=1e-12, rtol=0)


def test_a_step_downhill_joins_close_locations_and_parts_others() -> None:
    features = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    logits = torch.tensor([[[0.1, 0.0], [0.0, 0.1], [0.05, 0.0]]], requires_grad=True)
    for _ in range(200):
        classes = logits.softmax(dim=-1)
        energy = smoothness_energy(features, features, classes, classes, 0.3)
        (gradient,) = torch.autograd.grad(energy, logits)
        logits = (logits - 5 * gradient).detach().requires_grad_()
    found = logits[0].argmax(dim=1).tolist()
    assert found[0] == found[1] != found[2]


def test_assignments_are_distributions_that_ignore_lengths() -> None:
    codes, prototypes = torch.randn(6, 3), torch.randn(4, 3)
    assignments = soft_assignments(codes, prototypes, 0.1)
    torch.testing.assert_close(assignments.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(assignments, soft_assignments(3 * codes, 2 * prototypes, 0.1))
    expected = [[cosine(code, each) / 0.1 for each in prototypes] for code in codes]
    torch.testing.assert_close(assignment_logits(codes, prototypes, 0.1), torch.tensor(expected))


def test_the_data_energy_is_the_cross_entropy_of_the_most_probable_class() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    teacher = torch.tensor([[0.6, 0.4], [0.8, 0.2]])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2
    assert math.isclose(data_energy(logits, teacher).item(), expected, rel_tol=1e-6)
