"""HP's hidden positives and its contrast against loops."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.hidden_positives import (
    adjacent,
    handed_over,
    hidden_positives,
    local_weights,
    positive_contrast,
    weighed_positives,
)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_positives_and_contrast_are_those_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    pool = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    found = hidden_positives(vectors, pool)
    nearest = [max(cosine(vector, each) for each in pool) for vector in vectors]
    expected = [
        [
            i != j
            and (
                cosine(vectors[i], vectors[j]) > nearest[i]
                or cosine(vectors[j], vectors[i]) > nearest[j]
            )
            for j in range(6)
        ]
        for i in range(6)
    ]
    assert found.tolist() == expected
    specific = hidden_positives(torch.randn(6, 3, generator=generator), pool.float())
    weights = weighed_positives(found, specific, 0.3)
    logits = torch.randn(6, 6, generator=generator)
    losses, weight = 0.0, 0.0
    for i in range(6):
        if not any(expected[i]):
            continue
        others = sum(math.exp(logits[i, a]) for a in range(6) if a != i)
        for j in range(6):
            own = expected[i][j] + 0.3 * bool(specific[i, j])
            losses -= own * math.log(math.exp(logits[i, j]) / others)
            weight += own
    mean = losses / weight if weight else 0.0
    assert math.isclose(positive_contrast(logits, weights).item(), mean, abs_tol=1e-5)


def test_a_larger_pool_leaves_fewer_positives() -> None:
    vectors, pool = torch.randn(30, 4), torch.randn(20, 4)
    few, many = hidden_positives(vectors, pool), hidden_positives(vectors, pool[:5])
    assert bool((many | ~few).all())


def test_the_gradient_draws_positives_near() -> None:
    codes = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.2]], requires_grad=True)
    positives = torch.tensor([[False, True, False], [True, False, False], [False] * 3])
    unit = torch.nn.functional.normalize(codes, dim=1)
    loss = positive_contrast(unit @ unit.mT / 0.1, positives.float())
    (gradient,) = torch.autograd.grad(loss, codes)
    assert gradient.isfinite().all()
    moved = (codes - 0.01 * gradient).detach()
    assert cosine(moved[0], moved[1]) > cosine(codes[0].detach(), codes[1].detach())


def test_the_surroundings_are_those_of_loops() -> None:
    side, features = 4, torch.randn(2, 16, 3)
    found = local_weights(features, side)
    torch.testing.assert_close(found.sum(dim=2), torch.ones(2, 16))
    for i in range(16):
        near = [
            j
            for j in range(16)
            if abs(i // side - j // side) <= 1 and abs(i % side - j % side) <= 1
        ]
        assert adjacent(side)[i].nonzero()[:, 0].tolist() == near
        alike = {j: max(cosine(features[0, i], features[0, j]), 0.0) for j in near}
        mean = sum(alike.values()) / len(near)
        kept = {j: value for j, value in alike.items() if value >= mean - 1e-6}
        for j in range(16):
            expected = kept.get(j, 0.0) / sum(kept.values())
            assert math.isclose(found[0, i, j].item(), expected, abs_tol=1e-5)


def test_the_hand_over_is_monotonous() -> None:
    shares = [handed_over(step, 40) for step in range(60)]
    assert shares == sorted(shares)
    assert (shares[0], shares[20], shares[-1]) == (0.0, 0.5, 1.0)
