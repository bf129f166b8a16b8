"""Presets hold the published numbers."""

import pytest
import yaml

from segdistill.config.presets import preset_names, preset_path
from segdistill.errors import UserError

PUBLISHED = {
    "stego-cocostuff27-vits8": (70, (0.67, 0.25, 0.63), (0.08, 0.02, 0.66), True),
    "stego-cocostuff27-vitb8": (90, (0.1, 1, 0.1538), (0.12, 0.2, 1), True),
    "stego-cityscapes27-vitb8": (100, (1, 0.5775, 0.9058), (0.4583, 0.1754, 0.3136), False),
    "stego-potsdam3-vits8": (70, (0.67, 0.25, 0.63), (0.08, 0.02, 0.46), True),
    "stego-vits8": (70, (0.67, 0.25, 0.63), (0.18, 0.12, 0.46), True),
    "depthg-cocostuff27-vits8": (70, (0.58, 0.36, 0.7), (0.07, 0.025, 0.761), True),
    "depthg-cocostuff27-vitb8": (90, (0.2305, 1.0501, 0.2485), (0.1233, 0.2103, 0.9748), True),
    "depthg-cityscapes27-vitb8": (100, (0.95, 1.02, 0.57), (0.39, 0.25, 0.26), False),
    "depthg-potsdam3-vits8": (90, (0.61, 0.34, 0.72), (0.2, 0.09, 0.63), True),
}
# weight and shift of depth, factor and period of the weight, locations, their factor, batch
DEPTH = {
    "depthg-cocostuff27-vits8": (0.19, 0.03, 0.6, 250, "farthest", 11, 0.9, 32),
    "depthg-cocostuff27-vitb8": (0.1603, 0.0359, 0.64, 300, "farthest", 12, 1.0, 32),
    "depthg-cityscapes27-vitb8": (0.09, 0.03, 0.8, 400, "random", 11, 1.0, 32),
    "depthg-potsdam3-vits8": (0.13, 0.14, 1.0, 300, "farthest", 11, 1.0, 16),
}


def test_all_presets_are_checked_here() -> None:
    assert set(preset_names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_are_the_papers(name: str) -> None:
    channels, weights, shifts, pointwise = PUBLISHED[name]
    preset = yaml.safe_load(preset_path(name).read_text())
    objective = preset["objective"]
    pairs = ("self", "neighbour", "random")
    assert preset["head"]["channels"] == channels
    assert tuple(objective[f"weight_{pair}"] for pair in pairs) == weights
    assert tuple(objective[f"shift_{pair}"] for pair in pairs) == shifts
    assert objective["pointwise"] is pointwise
    if name not in DEPTH:
        assert preset["training"] == {"steps": 5000, "batch_size": 16, "pairs": "separate"}
    assert preset["components"] == 0
    assert name.endswith(preset["backbone"].removeprefix("dino-"))


@pytest.mark.parametrize("name", DEPTH)
def test_numbers_of_depth_are_the_papers(name: str) -> None:
    preset = yaml.safe_load(preset_path(name).read_text())
    depth = preset["depth"]
    assert (
        *(depth[key] for key in ("weight", "shift", "weight_factor", "weight_every", "sampling")),
        preset["objective"]["samples"],
        depth["samples_factor"],
        preset["training"]["batch_size"],
    ) == DEPTH[name]
    assert depth["guide"] == "on"
    assert depth["similarity"] == "product"


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean stego-potsdam3-vits8"):
        preset_path("stego-potsdam-vits8")
