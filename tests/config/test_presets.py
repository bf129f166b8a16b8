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
    assert preset["training"] == {"steps": 5000, "batch_size": 16}
    assert preset["components"] == 0
    assert name.endswith(preset["backbone"].removeprefix("dino-"))


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean stego-potsdam3-vits8"):
        preset_path("stego-potsdam-vits8")
