"""Preparation against transformers' own processors, where they can be made without torchvision."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.depth.networks import PREPROCESSOR, picture

from segdistill.backbones.huggingface import NetworkFiles
from segdistill.depth.estimator import NETWORKS
from segdistill.depth.preprocessing import DEFAULTS, DepthPreprocessing, read_preprocessing
from segdistill.errors import UserError

SIZES = [(48, 64), (64, 48), (100, 31), (31, 100), (300, 400)]
TINY_SIZES = [(1, 1), (3, 5), (2, 90)]
PROCESSORS = {
    "depth_anything": "DPTImageProcessor",
    "dpt": "DPTImageProcessor",
    "zoedepth": "ZoeDepthImageProcessor",
}


def read(folder: Path, config: dict[str, Any]) -> DepthPreprocessing:
    return read_preprocessing(NetworkFiles(NETWORKS, str(folder), folder, config))


def stated(folder: Path, model_type: str, **more: object) -> DepthPreprocessing:
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR[model_type] | more))
    config: dict[str, Any] = {"model_type": model_type}
    if model_type == "dpt":
        config["image_size"] = 64
    return read(folder, config)


def reference(model_type: str) -> tuple[Any, dict[str, Any]]:
    """transformers' processor that needs no torchvision, and its settings."""
    library: Any = transformers
    name = PROCESSORS[model_type]
    known = {
        key: value
        for key, value in PREPROCESSOR[model_type].items()
        if key not in {"image_processor_type", "feature_extractor_type"}
    }
    return getattr(library, f"{name}Pil", None) or getattr(library, name), known


@pytest.mark.parametrize("model_type", PROCESSORS)
@pytest.mark.parametrize("size", SIZES)
def test_preparing_is_what_transformers_does(
    tmp_path: Path, model_type: str, size: tuple[int, int]
) -> None:
    processor_class, settings = reference(model_type)
    preprocessing = stated(tmp_path, model_type)
    image = picture(*size)
    prepared = preprocessing.preprocess(image)
    assert prepared.shape == (3, *preprocessing.input_size(*size))
    expected = processor_class(**settings)(images=image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(prepared, expected[0].float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", PROCESSORS)
@pytest.mark.parametrize("size", [*SIZES, *TINY_SIZES])
def test_the_answer_comes_back_to_the_images_size(
    tmp_path: Path, model_type: str, size: tuple[int, int]
) -> None:
    preprocessing = stated(tmp_path, model_type)
    rows, columns = preprocessing.input_size(*size)
    assert preprocessing.preprocess(picture(*size)).shape == (3, rows, columns)
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, columns), indexing="ij")
    restored = preprocessing.restore(x + 2 * y, size)
    assert restored.shape == size


def test_zoedepths_border_goes_where_it_came_from(tmp_path: Path) -> None:
    preprocessing = stated(tmp_path, "zoedepth", resample=2)
    image = picture(96, 128)
    # Were the network the identity, the prediction would be the image.
    red = preprocessing.preprocess(image)[0] * 0.5 + 0.5
    restored = preprocessing.restore(red, (96, 128)).numpy() * 255
    assert np.abs(restored - image[:, :, 0]).max() < 8
    unpadded = stated(tmp_path, "zoedepth", do_pad=False)
    assert unpadded.border(96, 128) == (0, 0)


@pytest.mark.parametrize(
    ("model_type", "size", "expected"),
    [
        ("depth_anything", (480, 640), (518, 686)),
        ("depth_anything", (640, 480), (686, 518)),
        ("depth_anything", (1080, 1920), (518, 924)),
        ("depth_anything", (10, 4000), (14, 518)),
        ("dpt", (480, 640), (384, 384)),
        ("zoedepth", (480, 640), (384, 512)),
    ],
)
def test_sizes_on_the_hub(
    model_type: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert DEFAULTS[model_type].input_size(*size) == expected


def test_without_a_file_the_architectures_ways_hold(tmp_path: Path) -> None:
    for model_type, preprocessing in DEFAULTS.items():
        assert read(tmp_path, {"model_type": model_type}) == preprocessing


def test_dpt_with_its_own_transformer_sees_squares_alone(tmp_path: Path) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text('{"size": 96, "keep_aspect_ratio": true, "ensure_multiple_of": 32}')
    config: dict[str, Any] = {"model_type": "dpt", "image_size": 64}
    assert read(tmp_path, config).input_size(48, 96) == (64, 64)
    hybrid = config | {"is_hybrid": True, "backbone_config": {"model_type": "bit"}}
    assert read(tmp_path, hybrid).input_size(48, 96) == (64, 64)
    other = config | {"backbone_config": {"model_type": "dinov2"}}
    assert read(tmp_path, other).input_size(48, 96) == (64, 96)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": {"shortest_edge": 3}},
        {"size": 0},
        {"size": "large"},
        {"ensure_multiple_of": -1},
        {"image_mean": [0.5]},
        {"image_std": [0.5, 0.0, 0.5]},
        {"image_std": "half"},
        {"resample": 99},
    ],
)
def test_a_statement_that_makes_no_sense_is_refused(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"preprocessor_config\.json: invalid preprocessor config"):
        stated(tmp_path, "depth_anything", **wrong)


def test_zoedepth_knows_two_filters(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bilinear"):
        stated(tmp_path, "zoedepth", resample=1)


def test_normalisation_can_be_off(tmp_path: Path) -> None:
    preprocessing = stated(tmp_path, "depth_anything", do_normalize=False)
    prepared = preprocessing.preprocess(np.full((8, 8, 3), 255, np.uint8))
    assert (prepared == 1).all()
