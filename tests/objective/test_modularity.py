"""CAUSE's modularity against Newman's formula, and its contrast against loops."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.modularity import (
    concept_assignments,
    concept_contrast,
    graph_of,
    modularity,
)


def newman(weights: torch.Tensor, groups: list[int]) -> float:
    """Return the modularity of hard groups, pair by pair."""
    degrees = [float(row.sum()) for row in weights]
    total = sum(degrees)
    total_within = 0.0
    for i, own in enumerate(groups):
        for j, other in enumerate(groups):
            if own == other:
                total_within += float(weights[i, j]) - degrees[i] * degrees[j] / total
    return total_within / total


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_modularity_of_hard_groups_is_newmans(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = graph_of(torch.rand(1, 7, 3, generator=generator))
    groups = torch.randint(3, (7,), generator=generator)
    found = modularity(weights, torch.eye(3)[groups][None], temperature=1e-3)
    assert math.isclose(found.item(), newman(weights[0], groups.tolist()), abs_tol=1e-5)


def test_gradient_ascent_finds_the_communities() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.arange(18) % 3
    features = torch.eye(3)[kinds] + 0.1 * torch.randn(18, 3, generator=generator)
    codebook = torch.randn(6, 3, generator=generator, requires_grad=True)
    graph, before = graph_of(features[None]), torch.tensor(0.0)
    optimiser = torch.optim.Adam([codebook], lr=0.05)
    for step in range(150):
        value = modularity(graph, concept_assignments(features[None], codebook)).mean()
        before = value.detach() if step == 0 else before
        optimiser.zero_grad()
        (-value).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert value > before
    concepts = concept_assignments(features, codebook.detach()).argmax(dim=1)
    assert len({(int(k), int(c)) for k, c in zip(kinds, concepts, strict=True)}) == 3


def test_a_graph_without_edges_has_none() -> None:
    assert modularity(torch.zeros(1, 3, 3), torch.ones(1, 3, 2)).item() == 0


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_contrast_is_that_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes, bank = (torch.randn(size, 3, generator=generator) for size in (4, 6))
    concepts = torch.randint(3, (4,), generator=generator)
    bank_concepts = torch.randint(-1, 3, (6,), generator=generator)
    similarity = torch.rand(3, 3, generator=generator)
    found = concept_contrast(
        codes,
        concepts,
        bank,
        bank_concepts,
        similarity,
        positive=0.5,
        negative=0.3,
        temperature=0.7,
    )
    means = []
    for code, concept in zip(codes, concepts.tolist(), strict=True):
        scores = [math.exp(float(torch.cosine_similarity(code, b, 0)) / 0.7) for b in bank]
        alike = [float(similarity[concept, k]) if k >= 0 else None for k in bank_concepts.tolist()]
        repelled = sum(s for s, a in zip(scores, alike, strict=True) if a is not None and a < 0.3)
        own = [
            -math.log(s / (s + repelled))
            for s, a in zip(scores, alike, strict=True)
            if a is not None and a > 0.5
        ]
        means += [sum(own) / len(own)] if own else []
    expected = sum(means) / len(means) if means else 0.0
    assert math.isclose(found.item(), expected, abs_tol=1e-5)


def test_an_empty_bank_gives_a_finite_gradient() -> None:
    codes = torch.randn(3, 4, requires_grad=True)
    loss = concept_contrast(
        codes,
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(5, 4),
        torch.full((5,), -1),
        torch.eye(2),
        positive=0.3,
        negative=0.1,
        temperature=0.1,
    )
    (gradient,) = torch.autograd.grad(loss, codes)
    assert loss.item() == 0
    assert gradient.isfinite().all()
