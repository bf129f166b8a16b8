"""STEGO's whole objective, against a plain form that samples maps."""

import pytest
import torch

from segdistill.config.settings import ObjectiveSettings
from segdistill.objective.correspondence import correspondence, correspondence_loss
from segdistill.objective.stego import (
    ObjectiveTerms,
    SampledMaps,
    Shifts,
    measured_shifts,
    stego_objective,
)


def sampled(seed: int, batch: int = 3, locations: int = 9) -> SampledMaps:
    generator = torch.Generator().manual_seed(seed)
    return SampledMaps(
        torch.randn(batch, locations, 6, generator=generator),
        torch.randn(batch, locations, 4, generator=generator),
    )


def test_terms_pair_what_the_paper_pairs() -> None:
    anchors, positives, negatives = sampled(0), sampled(1), sampled(2)
    partners = torch.tensor([[1, 2, 0], [2, 0, 1]])
    settings = ObjectiveSettings()
    shifts = Shifts(0.1, 0.2, 0.3)
    terms = stego_objective(anchors, positives, negatives, partners, shifts, settings)

    def loss(i: int, other: SampledMaps, j: int, shift: float) -> torch.Tensor:
        return correspondence_loss(
            correspondence(anchors.features[i : i + 1], other.features[j : j + 1]),
            correspondence(anchors.codes[i : i + 1], other.codes[j : j + 1]),
            shift,
            pointwise=False,
        ).mean()

    plain = ObjectiveSettings(pointwise=False)
    unpointed = stego_objective(anchors, positives, negatives, partners, shifts, plain)
    assert unpointed.self_pairs.item() == pytest.approx(
        sum(loss(i, anchors, i, 0.1).item() for i in range(3)) / 3, abs=1e-6
    )
    assert unpointed.neighbour_pairs.item() == pytest.approx(
        sum(loss(i, positives, i, 0.2).item() for i in range(3)) / 3, abs=1e-6
    )
    expected = sum(
        loss(i, negatives, int(draw[i]), 0.3).item() for draw in partners for i in range(3)
    )
    assert unpointed.random_pairs.item() == pytest.approx(expected / 6, abs=1e-6)
    assert terms.total(settings).item() == pytest.approx(
        0.67 * terms.self_pairs.item()
        + 0.25 * terms.neighbour_pairs.item()
        + 0.63 * terms.random_pairs.item(),
        abs=1e-6,
    )


@pytest.mark.parametrize("pointwise", [False, True])
@pytest.mark.parametrize("zero_clamp", [False, True])
@pytest.mark.parametrize("stabilize", [False, True])
def test_terms_and_gradients_are_those_of_the_plain_functions(
    pointwise: bool, zero_clamp: bool, stabilize: bool
) -> None:
    parts = [sampled(seed, locations=16) for seed in range(3)]
    codes = [part.codes.requires_grad_() for part in parts]
    partners = torch.tensor([[1, 2, 0], [1, 0, 0]])
    switches = {"pointwise": pointwise, "zero_clamp": zero_clamp, "stabilize": stabilize}
    settings = ObjectiveSettings(
        pointwise=pointwise, zero_clamp=zero_clamp, stabilize=stabilize, random_draws=2
    )
    shifts = Shifts(0.1, 0.2, 0.3)
    terms = stego_objective(parts[0], parts[1], parts[2], partners, shifts, settings)

    def plain(other: SampledMaps, shift: float) -> torch.Tensor:
        return correspondence_loss(
            correspondence(parts[0].features, other.features),
            correspondence(parts[0].codes, other.codes),
            shift,
            **switches,
        ).mean()

    expected = ObjectiveTerms(
        plain(parts[0], 0.1),
        plain(parts[1], 0.2),
        torch.stack([plain(parts[2].paired(draw), 0.3) for draw in partners]).mean(),
    )
    for name in ("self_pairs", "neighbour_pairs", "random_pairs"):
        torch.testing.assert_close(getattr(terms, name), getattr(expected, name))
    torch.testing.assert_close(
        torch.autograd.grad(terms.total(settings), codes),
        torch.autograd.grad(expected.total(settings), codes),
        atol=1e-6,
        rtol=1e-5,
    )


def test_measured_shifts_let_the_given_share_attract() -> None:
    anchors, positives, negatives = (sampled(seed).features for seed in range(3))
    partners = torch.tensor([1, 2, 0])
    settings = ObjectiveSettings(
        pointwise=False, attract_self=0.5, attract_neighbour=0.25, shift_random=0.42
    )
    shifts = measured_shifts(anchors, positives, negatives, partners, settings)
    share = (correspondence(anchors, positives) > shifts.neighbour_pairs).double().mean()
    assert share.item() == pytest.approx(0.25, abs=0.01)
    assert shifts.random_pairs == 0.42


def test_the_total_weighs_every_term_that_is_on() -> None:
    settings = ObjectiveSettings(
        weight_self=2.0,
        weight_neighbour=3.0,
        weight_random=5.0,
        weight_reconstruction=7.0,
        weight_crf=11.0,
        weight_alignment=13.0,
    )
    names = ("self_pairs", "neighbour_pairs", "random_pairs")
    optional = ("reconstruction", "contrastive_crf", "alignment", "depth", "hidden_positives")
    weights = dict(zip((*names, *optional), (2, 3, 5, 7, 11, 13, 17, 19), strict=True))
    values = {name: 10.0**place for place, name in enumerate(weights)}
    base = {name: torch.tensor(values[name], dtype=torch.double) for name in names}
    for left_out in range(len(optional) + 1):
        on = [name for place, name in enumerate(optional) if place != left_out]
        terms = ObjectiveTerms(
            **base, **{name: torch.tensor(values[name], dtype=torch.double) for name in on}
        )
        total = terms.total(settings, weight_depth=17.0, weight_hidden_positives=19.0)
        assert total.item() == sum(weights[name] * values[name] for name in (*names, *on))
        if left_out == len(optional):  # by default, DepthG's terms weigh nothing
            plain = [*names, "reconstruction", "contrastive_crf", "alignment"]
            assert terms.total(settings).item() == sum(weights[n] * values[n] for n in plain)


@pytest.mark.parametrize("pointwise", [False, True])
def test_every_shift_is_measured_on_its_own_pairs(pointwise: bool) -> None:
    anchors, positives, negatives = (sampled(seed, locations=12).features for seed in range(3))
    partners = torch.tensor([1, 2, 0])
    settings = ObjectiveSettings(
        pointwise=pointwise, attract_self=0.6, attract_neighbour=0.3, attract_random=0.1
    )
    shifts = measured_shifts(anchors, positives, negatives, partners, settings)
    for shift, other, share in (
        (shifts.self_pairs, anchors, 0.6),
        (shifts.neighbour_pairs, positives, 0.3),
        (shifts.random_pairs, negatives[partners], 0.1),
    ):
        correlation = correspondence(anchors, other)
        if pointwise:
            rows = correlation - correlation.mean(dim=2, keepdim=True)
            correlation = rows - rows.mean() + correlation.mean()
        attracted = (correlation > shift).double().mean().item()
        assert attracted == pytest.approx(share, abs=0.005)
    given = ObjectiveSettings(shift_self=0.0, shift_neighbour=0.2, shift_random=-0.3)
    assert measured_shifts(anchors, positives, negatives, partners, given) == Shifts(0.0, 0.2, -0.3)


def test_no_gradient_flows_into_features() -> None:
    parts = [sampled(seed) for seed in range(3)]
    features = [part.features.requires_grad_() for part in parts]
    codes = [part.codes.requires_grad_() for part in parts]
    draws = torch.tensor([[1, 2, 0]])
    terms = stego_objective(
        parts[0], parts[1], parts[2], draws, Shifts(0.1, 0.2, 0.3), ObjectiveSettings()
    )
    total = terms.total(ObjectiveSettings())
    found = torch.autograd.grad(total, [*features, *codes], allow_unused=True)
    assert all(gradient is None for gradient in found[:3])
    assert all(gradient is not None and gradient.any() for gradient in found[3:])
    parts[0].normalised().codes.sum().backward()  # type: ignore[no-untyped-call]
    assert not parts[0].normalised().features.requires_grad
