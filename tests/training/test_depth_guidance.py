"""Locations drawn by depth, and depth read there."""

from dataclasses import replace

import pytest
import torch

from segdistill.config.settings import DepthSettings, FitSettings
from segdistill.objective.scene_geometry import perspective_points, unproject
from segdistill.objective.stego import Shifts
from segdistill.training.depth_guidance import (
    SampledDepth,
    Scene,
    locations_by_depth,
    sample_depth,
)
from segdistill.training.depth_losses import PRODUCT_SHIFT, depth_shift, depth_term

SHIFTS = Shifts(0.1, 0.1, 0.1, 0.03)


def scene(height: int, width: int, seed: int = 0) -> Scene:
    share = torch.rand(height, width, generator=torch.Generator().manual_seed(seed))
    return Scene(share, unproject(1 + share[None])[0])


def drawn(scenes: list[Scene | None], depth: DepthSettings, count: int = 9) -> torch.Tensor:
    before = torch.full((len(scenes), count, 2), 0.123)
    return locations_by_depth(
        scenes,
        before,
        depth,
        torch.Generator().manual_seed(0),
        maps=None,  # type: ignore[arg-type]
        images=range(len(scenes)),
        preparation=None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("sampling", ["farthest", "histogram"])
def test_locations_are_centres_of_cells_with_depth(sampling: str) -> None:
    known = scene(4, 6)
    settings = DepthSettings(sampling=sampling)  # type: ignore[arg-type]
    locations = drawn([known, None, scene(3, 5, 1)], settings)
    columns = (locations[0, :, 0] + 1) / 2 * 5
    rows = (locations[0, :, 1] + 1) / 2 * 3
    torch.testing.assert_close(columns, columns.round(), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows, rows.round(), atol=1e-5, rtol=0)
    assert (locations[1] == 0.123).all()  # no depth: the locations drawn without it
    cells = {tuple(location.tolist()) for location in locations[0]}
    assert len(cells) == 9 if sampling == "farthest" else len(cells) > 4


def test_cells_without_depth_get_their_share() -> None:
    share = scene(4, 6).share
    share[:, :3] = torch.nan  # half of the image, such as a sky that no sensor measures
    half = Scene(share, unproject(1 + share[None])[0])
    locations = drawn([half], DepthSettings(sampling="farthest"), count=10)
    columns = ((locations[0, :, 0] + 1) / 2 * 5).round()
    assert (columns >= 3).sum() == 5


def test_a_far_sky_does_not_draw_nearly_all_locations() -> None:
    distance = torch.cat([torch.full((12, 24), 200.0), torch.rand(12, 24) * 20 + 2])
    shares = {}
    for name, to_points in (("metric", unproject), ("perspective", perspective_points)):
        whole = Scene(distance / 200, to_points(distance[None])[0])
        locations = drawn([whole], DepthSettings(sampling="farthest"), count=60)
        shares[name] = (locations[0, :, 1] < 0).float().mean().item()
    assert shares["metric"] > 0.85
    assert 0.1 < shares["perspective"] < 0.6


def test_random_sampling_leaves_locations_alone() -> None:
    assert (drawn([scene(4, 6)], DepthSettings(sampling="random")) == 0.123).all()


def test_as_released_locations_are_transposed() -> None:
    right = drawn([scene(4, 6)], DepthSettings(sampling="farthest"))
    released = drawn([scene(4, 6)], DepthSettings(sampling="farthest", as_released=True))
    rows = ((right[0, :, 1] + 1) / 2 * 3).round()
    torch.testing.assert_close(released[0, :, 0], rows / 4 * 2 - 1)


def test_depth_is_read_where_codes_are() -> None:
    share = torch.arange(6.0).expand(4, 6) / 5
    ramp = Scene(share, unproject(1 + share[None])[0])
    locations = torch.tensor([[[-1.0, 0.0], [0.0, 0.5], [1.0, 1.0], [0.2, -0.4]]])
    sampled = sample_depth([ramp], locations, DepthSettings())
    torch.testing.assert_close(sampled.shares[0], (locations[0, :, 0] + 1) / 2)
    missing = sample_depth([None], locations, DepthSettings())
    assert missing.shares.isnan().all()
    assert missing.points.isnan().all()


def test_a_neighbour_of_weight_zero_passes_nothing_on() -> None:
    share = torch.tensor([[0.25, torch.nan]])
    lonely = Scene(share, unproject(share[None])[0])
    sampled = sample_depth([lonely], torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]), DepthSettings())
    assert sampled.shares[0, 0] == 0.25
    assert sampled.shares[0, 1].isnan()


def test_the_shift_is_given_or_depthgs_or_measured() -> None:
    sampled = SampledDepth(torch.rand(2, 16), torch.rand(2, 16, 3))
    settings = FitSettings()
    assert depth_shift(sampled, settings) == PRODUCT_SHIFT
    given = replace(settings, depth=DepthSettings(shift=0.5))
    assert depth_shift(sampled, given) == 0.5
    distance = replace(settings, depth=DepthSettings(similarity="distance"))
    measured = depth_shift(sampled, distance)
    codes = torch.rand(2, 16, 4)
    assert 0 < measured < 1
    loss = depth_term(codes, sampled, replace(SHIFTS, depth_pairs=measured), distance, step=0)
    assert loss.isfinite()


def test_unknown_depth_neither_attracts_nor_repels() -> None:
    nothing = SampledDepth(torch.full((1, 9), torch.nan), torch.full((1, 9, 3), torch.nan))
    codes = torch.rand(1, 9, 4, requires_grad=True)
    for similarity in ("product", "difference", "distance"):
        settings = FitSettings(depth=DepthSettings(similarity=similarity))
        loss = depth_term(codes, nothing, SHIFTS, settings, step=0)
        (gradient,) = torch.autograd.grad(loss, codes)
        assert loss == 0
        assert (gradient == 0).all()
