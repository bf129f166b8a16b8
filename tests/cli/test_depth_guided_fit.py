"""Depth-guided fits from the command line."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tests.cli.conftest import QUICK, Run
from tests.helpers import striped_labels
from transformers import ViTConfig, ViTModel

from segdistill.config.presets import preset_names
from segdistill.model.segmenter import Segmenter

TINY = ["--backbone", "tiny", "--classes", "3", "--quiet", *QUICK]


@pytest.fixture
def depth(photos: Path) -> Path:
    """Depth maps of the striped images: the sky far, the ground near, some pixels not measured."""
    folder = photos.parent / "photos_depth"
    (folder / "more").mkdir(parents=True)
    for seed in range(6):
        values = np.array([9000, 5000, 1000], np.uint16)[striped_labels(seed)]
        values[:, :8] = 0
        place = folder / "more" if seed == 5 else folder
        Image.fromarray(values).save(place / f"picture_{seed}.png")
    return folder


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


SIMILARITIES = ("product", "difference", "distance")
SAMPLINGS = ("farthest", "farthest-mixed", "histogram", "random")
USUAL = {("farthest", "product"), ("farthest-mixed", "difference"), ("histogram", "distance")}
USUAL |= {("random", "product")}
"""Each once: locations are drawn, and similarities compared, without regard to the other choice."""


@pytest.mark.parametrize(
    ("sampling", "similarity"),
    [
        pytest.param(*both, marks=[] if both in USUAL else pytest.mark.slow)
        for both in product(SAMPLINGS, SIMILARITIES)
    ],
)
def test_depth_guides_a_fit(
    photos: Path, depth: Path, segdistill: Run, sampling: str, similarity: str
) -> None:
    run = photos.parent / "run"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--training.steps", 4, "--out", run),
        *("--depth.folder", depth, "--depth.invalid", 0),
        *("--depth.sampling", sampling, "--depth.similarity", similarity),
    )
    assert status == 0, error
    assert all(record["depth"] != 0 for record in history(run))
    assert all(np.isfinite(list(record.values())).all() for record in history(run))
    # Depth guides only the training: segmenting does not need it.
    mask = Segmenter.load(run).segment(photos / "picture_0.png")
    assert mask.shape == (64, 96)


@pytest.mark.parametrize("pairs", ["shared", "separate"])
def test_all_depth_settings_at_once(photos: Path, depth: Path, segdistill: Run, pairs: str) -> None:
    run = photos.parent / "run"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--training.steps", 12, "--out", run, "--crops", "five"),
        *("--training.pairs", pairs),
        *("--depth.guide", "on", "--depth.hidden-positives", "depth"),
        *("--depth.weight-factor", 0.5, "--depth.weight-every", 4),
        *("--depth.shift-factor", 2.0, "--depth.shift-every", 4),
        *("--depth.samples-factor", 0.5, "--depth.samples-every", 6, "--depth.samples-minimum", 3),
    )
    assert status == 0, error
    assert all(record["hidden_positives"] != 0 for record in history(run))


def test_as_released_attracts_all_codes_of_an_image(
    photos: Path, depth: Path, segdistill: Run
) -> None:
    run = photos.parent / "run"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--training.steps", 3, "--out", run, "--depth.guide", "on"),
        *("--depth.as-released", "true", "--depth.sampling", "farthest"),
    )
    assert status == 0, error
    # The similarity is 1 almost everywhere, so the term is nearly all attraction.
    assert all(record["depth"] < 0 for record in history(run))


@pytest.mark.parametrize("kind", ["features", "attention"])
def test_hidden_positives_of_a_vision_transformer(
    photos: Path, depth: Path, segdistill: Run, kind: str
) -> None:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(photos.parent / "vit")
    run = photos.parent / "run"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--training.steps", 2, "--out", run, "--resolution", 64),
        *("--backbone", photos.parent / "vit", "--components", 0),
        *("--depth.folder", depth, "--depth.hidden-positives", kind),
    )
    assert status == 0, error
    assert all(record["hidden_positives"] != 0 for record in history(run))


def test_attention_needs_a_vision_transformer(photos: Path, depth: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--depth.folder", depth),
        *("--depth.hidden-positives", "attention"),
    )
    assert status == 2
    assert "has no attention" in error


def test_guidance_without_depth_says_what_to_give(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill("fit", photos, *TINY, "--depth.guide", "on")
    assert status == 2
    assert "--depth.folder" in error
    assert "segdistill depth" in error


def test_a_damaged_depth_map_is_named_before_training(
    photos: Path, depth: Path, segdistill: Run
) -> None:
    (depth / "picture_2.png").write_bytes(b"no depth")
    status, _, error = segdistill("fit", photos, *TINY, "--depth.folder", depth)
    assert status == 2
    assert "picture_2.png" in error


def test_images_without_depth_still_take_part(photos: Path, depth: Path, segdistill: Run) -> None:
    (depth / "picture_2.png").unlink()
    status, _, error = segdistill(
        "fit", photos, *TINY, "--training.steps", 6, "--depth.folder", depth
    )
    assert status == 0
    assert "1 of 6 images have no depth map" in error


def test_maps_without_any_depth_are_warned_of(photos: Path, depth: Path, segdistill: Run) -> None:
    paths = sorted(depth.rglob("*.png"))
    for path in paths:
        Image.fromarray(np.full((64, 96), 128, np.uint8)).save(path)
    status, _, error = segdistill(
        "fit", photos, *TINY, "--training.steps", 2, "--depth.folder", depth
    )
    assert status == 0
    assert error.count("hold no information") == 1
    assert f"hold no information: 6 of 6, {paths[0]}, " in error


def test_the_papers_presets_exist() -> None:
    assert {name for name in preset_names() if name.startswith("depthg")} == {
        "depthg-cocostuff27-vits8",
        "depthg-cocostuff27-vitb8",
        "depthg-cityscapes27-vitb8",
        "depthg-potsdam3-vits8",
    }


def test_several_invalid_values_and_a_format(photos: Path, segdistill: Run) -> None:
    command = ("fit", photos, "--print_config", "--depth.format", "carla")
    status, output, error = segdistill(*command, "--depth.invalid", "0,65535")
    assert status == 0, error
    depth = yaml.safe_load(output)["depth"]
    assert (depth["invalid"], depth["format"]) == ([0.0, 65535.0], "carla")
    again = photos.parent / "settings.yaml"
    again.write_text(output)
    assert segdistill("fit", photos, "--print_config", "--config", again)[1] == output
    again.write_text("depth:\n  invalid: 0\n")  # as older versions wrote it
    assert "invalid: 0.0" in segdistill("fit", photos, "--print_config", "--config", again)[1]
    status, _, error = segdistill(*command, "--depth.invalid", "0,sky")
    assert status == 2
    assert "--depth.invalid 0,sky: must be numbers separated by commas" in error
