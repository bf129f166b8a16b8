from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segdistill.images.depth import DepthSettings, normalise_depth
from segdistill.images.depth_checks import (
    DepthSummary,
    FillValue,
    constant_depth_warning,
    fill_value,
    fill_value_warning,
    summarise_depth,
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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, 7, 7, 7], (0, True)),
        ([7, 7, np.nan, 7], (0.25, True)),
        ([7, 7, 7.1, 7], (0, False)),
        ([6, 7, 7, 8], (0, False)),
        ([np.nan] * 4, (1, True)),
    ],
)
def test_a_map_is_constant_if_all_known_depths_are(
    values: list[float], expected: tuple[float, bool]
) -> None:
    assert summarise_depth(normalise_depth(np.array([values]))) == expected


def summaries(constant: int, others: int) -> dict[Path, DepthSummary]:
    each = [DepthSummary(0.5, constant=True)] * constant + [
        DepthSummary(0.0, constant=False)
    ] * others
    return {Path(f"{number}.png"): summary for number, summary in enumerate(each)}


def test_constant_maps_are_named() -> None:
    message = constant_depth_warning(summaries(4, 2))
    assert message is not None
    assert message.startswith(
        "depth maps that are constant and therefore hold no information: 4 of 6, 0.png, 1.png,"
        " 2.png, ...; all parts of such an image count as equally far, and so as alike: remove"
    )
    message = constant_depth_warning(summaries(1, 1))
    assert message is not None
    assert "1 of 2, 0.png; " in message
    assert constant_depth_warning(summaries(0, 2)) is None


def test_without_any_depth_the_advice_is_to_fit_without() -> None:
    message = constant_depth_warning(summaries(2, 0))
    assert message is not None
    assert "2 of 2, 0.png, 1.png; " in message
    assert "fit without depth (--depth.guide off)" in message


def test_a_map_gets_one_warning() -> None:
    maps = {Path("a.png"): DepthSummary(0.9, constant=True)}
    assert unknown_depth_warning({path: each.unknown for path, each in maps.items()})
    assert constant_depth_warning(maps) is None
