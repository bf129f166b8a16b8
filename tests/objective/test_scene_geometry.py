"""From depth maps to points, against golden values and the camera's equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.objective.scene_geometry import (
    RELEASED_FIELD_OF_VIEW,
    normalise_depth,
    perspective_points,
    released_unprojection,
    unproject,
)

SIDES = st.integers(1, 6)


def depths(seed: int, height: int, width: int) -> torch.Tensor:
    return 1 + torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed)) * 9


def test_the_released_unprojection_is_golden() -> None:
    values = golden("depth_unprojection")
    assert values["fov_as_given"] == RELEASED_FIELD_OF_VIEW
    points = released_unprojection(values["depth"][:, 0])
    expected = values["points"].flatten(2).mT  # (batch, 3, 8, 8) -> (batch, cells, 3)
    torch.testing.assert_close(points, expected, atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), height=SIDES, width=SIDES, angle=st.floats(5, 170))
def test_points_project_back_to_their_cells(
    seed: int, height: int, width: int, angle: float
) -> None:
    depth = depths(seed, height, width)
    x, y, z = unproject(depth, field_of_view=angle).view(2, height, width, 3).unbind(3)
    torch.testing.assert_close(z, depth)
    focal_length = width / 2 / math.tan(math.radians(angle / 2))  # in cells
    columns = torch.arange(width) + 0.5
    rows = torch.arange(height)[:, None] + 0.5
    torch.testing.assert_close(
        focal_length * x / z + width / 2, columns.expand_as(x), atol=1e-3, rtol=1e-4
    )
    torch.testing.assert_close(
        focal_length * y / z + height / 2, rows.expand_as(y), atol=1e-3, rtol=1e-4
    )


def test_axes_and_aspect() -> None:
    points = unproject(torch.ones(1, 2, 4), field_of_view=90).view(2, 4, 3)
    assert points[0, 0].tolist() == pytest.approx([-0.75, -0.25, 1])  # upper left
    assert points[1, 3].tolist() == pytest.approx([0.75, 0.25, 1])  # lower right


def test_unknown_and_negative_depth_stays_unknown() -> None:
    depth = torch.tensor([[[1.0, math.nan, math.inf, -1.0, 0.0]]])
    known = unproject(depth).isfinite()
    assert known.all(dim=2).tolist() == [[True, False, False, False, True]]
    assert known.any(dim=2).equal(known.all(dim=2))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), height=SIDES, width=SIDES)
def test_normalised_depth_fills_its_range_and_keeps_its_order(
    seed: int, height: int, width: int
) -> None:
    depth = depths(seed, height, width)
    depth[0, 0, 0] = math.nan
    scaled = normalise_depth(depth)
    assert scaled[0, 0, 0].isnan()
    known = scaled.flatten(1).nan_to_num(0.0)
    assert ((known >= 0) & (known <= 1)).all()
    if height * width > 2:
        assert known.amax(dim=1).tolist() == [1, 1]
    flat, original = scaled[1].flatten(), depth[1].flatten()
    assert (flat[original.argsort()].diff() >= 0).all()


def test_each_image_is_normalised_by_itself() -> None:
    depth = torch.tensor([[[1.0, 2.0]], [[10.0, 30.0]], [[5.0, 5.0]]])
    assert normalise_depth(depth)[:, 0].tolist() == [[0, 1], [0, 1], [0, 0]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), unit=st.floats(0.01, 100), width=SIDES)
def test_perspective_distances_do_not_depend_on_the_unit(
    seed: int, unit: float, width: int
) -> None:
    depth = depths(seed, 3, width)
    first, second = (
        torch.cdist(points, points) for points in map(perspective_points, (depth, unit * depth))
    )
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


def test_perspective_points_are_the_unprojected_ones_by_direction() -> None:
    depth = depths(3, 4, 5)
    depth[0, 0, 0] = 0
    points, scene = perspective_points(depth), unproject(depth)
    assert points[0, 0].isnan().all()
    torch.testing.assert_close(points[0, 1:, :2], scene[0, 1:, :2] / scene[0, 1:, 2:])
    torch.testing.assert_close(points[1, :, 2].exp(), depth[1].flatten())
