from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segdistill.images.depth import DepthSettings
from segdistill.images.depth_checks import (
    FillValue,
    fill_value,
    fill_value_warning,
    unknown_depth_warning,
)


def scene(filled: float, share: float) -> NDArray[np.float64]:
    """Return depth from 300 to 2340, with a share of the rows of one value."""
    values = np.tile(np.linspace(300, 2340, 100)[:, None], (1, 10))
    values[: round(100 * share)] = filled
    return values


@pytest.mark.parametrize("filled", [65535.0, 255e6, 1e10, 0.0])
def test_an_extreme_value_of_a_large_share_fills_in(filled: float) -> None:
    assert fill_value(scene(filled, 0.25), DepthSettings()) == FillValue(filled, 0.25)
    assert fill_value(scene(filled, 0.05), DepthSettings()) is None
    assert fill_value(scene(filled, 0.25), DepthSettings(invalid=(filled,))) is None


def test_a_far_sky_and_a_flat_map_are_depth() -> None:
    assert fill_value(scene(9000, 0.4), DepthSettings()) is None
    assert fill_value(np.full((4, 4), 65535.0), DepthSettings()) is None
    assert fill_value(np.full((4, 4), np.nan), DepthSettings()) is None


def test_the_warning_names_value_share_map_and_option(tmp_path: Path) -> None:
    paths = []
    for index, share in enumerate((0.0, 0.2, 0.3)):
        paths.append(tmp_path / f"{index}.npy")
        np.save(paths[-1], scene(65535, share).astype(np.uint16))
    message = fill_value_warning(paths, DepthSettings(invalid=(0,)))
    assert message is not None
    assert message.startswith("the value 65535 covers a tenth or more of 2 of the 3 depth maps")
    assert f"30% of {paths[2]}; " in message
    assert message.endswith("add --depth.invalid 0,65535")
    assert fill_value_warning(paths, DepthSettings(invalid=(65535,))) is None
    assert fill_value_warning(paths[:1], DepthSettings()) is None


def test_maps_that_are_mostly_invalid_are_named() -> None:
    message = unknown_depth_warning({Path("a.png"): 0.2, Path("b.png"): 0.6, Path("c.png"): 0.9})
    assert message is not None
    assert (
        "mostly invalid and therefore have little effect: 2 of 3, c.png (90%), b.png (60%);"
        in message
    )
    assert unknown_depth_warning({Path("a.png"): 0.5}) is None
