"""A training step, against its plain form: the head on whole maps, every kind of pair by itself."""

from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plain.step_case import (
    StepCase,
    StepShape,
    made_case,
    plain_step,
    read_batch,
    this_step,
)

from segdistill.config.settings import Interpolated, ObjectiveSettings, Pairs
from segdistill.objective.fused_interpolation import gather_cells
from segdistill.objective.sampling import bilinear_neighbours, random_locations
from segdistill.training.neighbourhoods import read_neighbourhoods


def loss_and_gradients(form: str, case: StepCase) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(3)  # both forms draw the same channels to drop
    loss = (plain_step if form == "plain" else this_step)(case)
    gradients = [parameter.grad for parameter in case.head.parameters()]
    return loss.item(), [gradient for gradient in gradients if gradient is not None]


def check(shape: StepShape, *, seed: int = 0) -> None:
    case = made_case(shape, seed=seed)
    expected, plain = loss_and_gradients("plain", case)
    loss, gradients = loss_and_gradients("this", case)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert len(gradients) == len(plain)
    for gradient, other in zip(gradients, plain, strict=True):
        assert (gradient - other).abs().max() <= 1e-5 * other.abs().max() + 1e-9


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_step_of_the_embedded_default(dropout: float) -> None:
    objective = ObjectiveSettings(feature_dropout=dropout)
    check(
        StepShape(14, 18, (20, 56, 160), 64, batch=4, dropout=dropout, objective=objective), seed=1
    )


@pytest.mark.parametrize("interpolate", ["codes", "features"])
def test_products_in_bfloat16_change_little(interpolate: Interpolated) -> None:
    objective = ObjectiveSettings(interpolate=interpolate)
    case = made_case(StepShape(14, 18, (20, 56, 160), batch=4, objective=objective), seed=1)
    found = []
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(3)
        loss = this_step(case, precision).item()
        gradients = [p.grad.flatten() for p in case.head.parameters() if p.grad is not None]
        found.append((loss, torch.cat(gradients)))
        assert gradients[0].dtype == torch.float32
    (full, exact), (mixed, rounded) = found
    assert mixed != full
    assert mixed == pytest.approx(full, rel=1e-2)
    assert F.cosine_similarity(exact, rounded, dim=0) >= 0.999


OBJECTIVES = st.builds(
    ObjectiveSettings,
    samples=st.integers(1, 4),
    random_draws=st.integers(1, 3),
    feature_dropout=st.sampled_from([0.0, 0.3]),
    pointwise=st.booleans(),
    zero_clamp=st.booleans(),
    stabilize=st.booleans(),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    batch=st.integers(2, 4),
    components=st.sampled_from([None, 5]),
    dropout=st.sampled_from([0.0, 0.3]),
    kind=st.sampled_from(["nonlinear", "linear"]),
    objective=OBJECTIVES,
    pairs=st.sampled_from(["shared", "separate"]),
)
def test_any_step(
    seed: int,
    height: int,
    width: int,
    batch: int,
    components: int | None,
    dropout: float,
    kind: Literal["nonlinear", "linear"],
    objective: ObjectiveSettings,
    pairs: Pairs,
) -> None:
    groups = (12,) if components is None else (4, 8)
    shape = StepShape(height, width, groups, components, 6, batch, pairs, kind, dropout, objective)
    check(shape, seed=seed)


def test_codes_at_locations_are_those_of_the_whole_map() -> None:
    case = made_case(StepShape(5, 7, (6,), None, 4, batch=2))
    head, batch = case.head.eval(), read_batch(case)
    part = batch.images
    codes = head.at_locations(part.cells.float(), part.nearest, part.weights)
    plain = torch.einsum(
        "bpnc,bpn->bpc", head(gather_cells(part.cells, part.nearest).float()), part.weights
    )
    torch.testing.assert_close(codes, plain, atol=1e-5, rtol=1e-5)


def test_each_cell_is_read_once_from_maps_of_any_size() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = [
        np.random.default_rng(number).random((height, width, 3)).astype(np.float16)
        for number, (height, width) in enumerate([(4, 5), (12, 20), (1, 1)])
    ]
    locations = random_locations(3, 40, generator=generator)
    part = read_neighbourhoods(maps, locations)
    assert part.cells.dtype == torch.float16
    for image, grid in enumerate(maps):
        cells, weights = bilinear_neighbours(locations[image], *grid.shape[:2])
        rows = torch.from_numpy(grid.reshape(-1, 3))
        assert torch.equal(gather_cells(part.cells, part.nearest)[image], rows[cells])
        assert torch.equal(part.weights[image], weights)
        needed = int(part.nearest[image].max()) + 1
        assert needed == len(set(cells.flatten().tolist()))
        assert not part.cells[image, needed:].any()


def test_the_parts_of_separate_pairs() -> None:
    batch = read_batch(made_case(StepShape(6, 6, (5,), None, 4, batch=3)))
    own, theirs = (part.weights for part in batch.parts_read)
    anchors, positives, negatives = batch.in_parts(own, theirs)
    assert positives is theirs
    assert torch.equal(torch.cat([anchors, negatives], dim=1), own)
    assert anchors.shape == positives.shape
    with pytest.raises(ValueError, match="of_positives is needed"):
        batch.in_parts(own)


def test_the_parts_of_shared_pairs() -> None:
    case = made_case(StepShape(6, 6, (5,), None, 4, batch=3, pairs="shared"))
    batch = read_batch(case)
    (own,) = (part.weights for part in batch.parts_read)
    anchors, positives, negatives = batch.in_parts(own)
    assert anchors is negatives is own
    assert case.neighbour_of is not None
    for image, neighbour in enumerate(case.neighbour_of.tolist()):
        assert torch.equal(positives[image], own[neighbour])
