"""CAUSE's modularity against Newman's formula, and its contrast against loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.modularity import (
    concept_assignments,
    concept_contrast,
    graph_of,
    modularity,
    most_shared,
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


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_modularity_of_soft_groups_is_that_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = graph_of(torch.rand(1, 5, 3, generator=generator))
    groups = torch.rand(1, 5, 4, generator=generator)
    degrees = [float(row.sum()) for row in weights[0]]
    total, expected = sum(degrees), 0.0
    for i in range(5):
        for j in range(5):
            shared = [math.tanh(float(each) / 0.4) for each in groups[0, i] * groups[0, j]]
            together = max(shared)
            expected += together * (float(weights[0, i, j]) - degrees[i] * degrees[j] / total)
    found = modularity(weights, groups, temperature=0.4)
    assert math.isclose(found.item(), expected / total, abs_tol=1e-5)


def test_the_gradient_of_the_most_shared_concept_is_that_of_the_table() -> None:
    groups = torch.rand(2, 11, 4, dtype=torch.float64, requires_grad=True)
    table = (groups[:, :, None] * groups[:, None]).amax(dim=3)
    upstream = torch.randn(2, 11, 11, dtype=torch.float64)
    torch.testing.assert_close(most_shared(groups), table)
    (expected,) = torch.autograd.grad(table, groups, upstream)
    (found,) = torch.autograd.grad(most_shared(groups), groups, upstream)
    torch.testing.assert_close(found, expected)


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
    # Locations of a kind may have several concepts, but those of different kinds share none.
    pairs = {(int(k), int(c)) for k, c in zip(kinds, concepts, strict=True)}
    assert len({concept for _, concept in pairs}) == len(pairs)


def test_a_graph_without_edges_has_none() -> None:
    assert modularity(torch.zeros(1, 3, 3), torch.ones(1, 3, 2)).item() == 0


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_contrast_is_that_of_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    same = bool(seed % 2)
    size = 4 if same else 6
    codes, bank = (torch.randn(each, 3, generator=generator) for each in (4, size))
    concepts = torch.randint(3, (4,), generator=generator)
    bank_concepts = torch.randint(-1, 3, (size,), generator=generator)
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
        same=same,
    )
    losses = []
    for i, code in enumerate(codes):
        attracted, repelled = [], []
        for j, other in enumerate(bank_concepts.tolist()):
            if other == -1 or (same and i == j):
                continue
            score = math.exp(float(torch.cosine_similarity(code, bank[j], 0)) / 0.7)
            alike = float(similarity[concepts[i], other])
            attracted += [score] if alike > 0.5 else []
            repelled += [score] if alike < 0.3 else []
        everything = sum(attracted) + sum(repelled)
        losses += [-math.log(score / everything) for score in attracted]
    expected = sum(losses) / len(losses) if losses else 0.0
    assert math.isclose(found.item(), expected, abs_tol=1e-5)


@pytest.mark.parametrize("temperature", [0.7, 0.002])
@pytest.mark.parametrize("same", [False, True])
def test_the_gradient_of_the_contrast_is_that_of_the_table(same: bool, temperature: float) -> None:
    """More codes than are compared at once, some without any pair, and logits of hundreds."""
    codes = torch.randn(150, 3, dtype=torch.float64, requires_grad=True)
    bank = torch.randn(150 if same else 70, 3, dtype=torch.float64)
    concepts, bank_concepts = torch.randint(5, (150,)), torch.randint(-1, 5, (len(bank),))
    similarity = torch.rand(5, 5, dtype=torch.float64)
    similarity[0] = 0.4
    found = concept_contrast(
        codes,
        concepts,
        bank,
        bank_concepts,
        similarity,
        positive=0.5,
        negative=0.3,
        temperature=temperature,
        same=same,
    )
    logits = F.normalize(codes, dim=1) @ F.normalize(bank, dim=1).mT / temperature
    alike = similarity[concepts][:, bank_concepts.clamp_min(0)]
    known = (bank_concepts >= 0)[None] & ~torch.eye(150, len(bank)).mul(same).bool()
    positives, negatives = (alike > 0.5) & known, (alike < 0.3) & known
    against = logits.masked_fill(~(positives | negatives), -1e9).logsumexp(dim=1, keepdim=True)
    plain = (against - logits)[positives].mean()
    torch.testing.assert_close(found, plain)
    (gradient,) = torch.autograd.grad(found, codes)
    (expected,) = torch.autograd.grad(plain, codes)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("places", [0, 5])
def test_an_empty_bank_gives_a_finite_gradient(places: int) -> None:
    codes = torch.randn(3, 4, requires_grad=True)
    loss = concept_contrast(
        codes,
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(places, 4),
        torch.full((places,), -1),
        torch.eye(2),
        positive=0.3,
        negative=0.1,
        temperature=0.1,
    )
    (gradient,) = torch.autograd.grad(loss, codes)
    assert loss.item() == 0
    assert gradient.isfinite().all()
