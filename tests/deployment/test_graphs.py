"""Graphs for other programs, run by those programs."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.deployment.models import CLASSES, model_of, tiny, tiny_transformer
from tests.helpers import write_striped_folder

from segdistill import UserError, __version__, export_model
from segdistill.backbones import load_backbone
from segdistill.deployment import writing
from segdistill.deployment.graph import (
    SegmenterGraph,
    bilinear_masks,
    silent_exporters,
    trace,
)
from segdistill.deployment.onnx_file import onnx_model, onnx_runner
from segdistill.deployment.writing import METADATA_FILE
from segdistill.images.resize import enlarge


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as ONNX, with masks."""
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    assert export_model(tiny(), path, masks=True).difference < 1e-5
    return path


@pytest.mark.parametrize("size", [(1, 16, 16), (1, 64, 96), (5, 112, 32)])
def test_onnxruntime_gives_scores_and_masks(written: Path, size: tuple[int, int, int]) -> None:
    images = torch.rand(size[0], 3, *size[1:])
    scores, masks = onnx_runner(written)(images.numpy())
    expected = tiny()(images)
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-4, rtol=0)
    assert scores.shape[1] == len(CLASSES)
    assert masks.dtype == np.uint8
    best = enlarge(expected, size[1:]).argmax(dim=1)
    assert (torch.from_numpy(masks) == best).float().mean() > 0.999


def test_the_file_says_what_it_is(written: Path) -> None:
    session = onnxruntime.InferenceSession(written)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == [
        {"index": 0, "name": "sky", "colour": [10, 20, 250], "hidden": False},
        {"index": 1, "name": "class 1", "colour": [30, 200, 40], "hidden": True},
    ]
    assert facts["segdistill"] == __version__
    assert (facts["resolution"], facts["stride"], facts["size_multiple"]) == ("64", "8", "16")
    assert (facts["backbone"], facts["backbone_licence"]) == ("tiny", "none")
    (given,) = session.get_inputs()
    assert given.shape == ["batch", 3, "height", "width"]
    assert [each.shape for each in session.get_outputs()] == [
        ["batch", 2, "height/8", "width/8"],
        ["batch", "height", "width"],
    ]


@pytest.mark.parametrize(
    ("model_type", "features"),
    [
        ("vit", ""),
        pytest.param("dinov2", "", marks=pytest.mark.slow),
        pytest.param("dinov2_with_registers", "", marks=pytest.mark.slow),
        pytest.param("dinov3_vit", "", marks=pytest.mark.slow),
        pytest.param("vit", ":keys", marks=pytest.mark.slow),
    ],
)
def test_vision_transformers_at_every_size(model_type: str, features: str, tmp_path: Path) -> None:
    segmenter = tiny_transformer(model_type, tmp_path / "net", features)
    path = tmp_path / "net.onnx"
    stride = segmenter.backbone.stride
    photo = torch.rand(1, 3, 3 * stride, 5 * stride)
    before = segmenter(photo)
    export_model(segmenter, path)
    assert torch.equal(segmenter(photo), before)
    run = onnx_runner(path)
    assert str(tmp_path).encode() not in path.read_bytes()
    for batch, rows, columns in [(1, 1, 1), (1, 4, 4), (2, 3, 7), (1, 9, 4)]:
        images = torch.rand(batch, 3, rows * stride, columns * stride)
        scores = torch.from_numpy(run(images.numpy())[0])
        torch.testing.assert_close(scores, segmenter(images), atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_the_embedded_backbone(tmp_path: Path, suffix: str) -> None:
    segmenter = model_of(load_backbone(), 96)
    assert export_model(segmenter, tmp_path / f"embedded{suffix}").difference < 1e-4


def test_a_torch_program(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt2"
    assert export_model(tiny(), path, masks=True).difference < 1e-5
    extra: dict[str, Any] = {METADATA_FILE: ""}
    program = torch.export.load(path, extra_files=extra)
    assert json.loads(json.loads(extra[METADATA_FILE])["classes"])[0]["name"] == "sky"
    images = torch.rand(3, 3, 48, 80)
    scores, masks = program.module()(images)
    torch.testing.assert_close(scores, tiny()(images), atol=1e-5, rtol=0)
    assert masks.shape == (3, 48, 80)


@pytest.fixture(scope="module")
def model() -> Any:
    return onnx_model(trace(SegmenterGraph(tiny())))


@pytest.mark.parametrize("damage", ["small", "nan", "shape"])
def test_a_graph_that_does_something_else_is_not_left(
    model: Any, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = copy.deepcopy(model)
    output = broken.graph.output[0].name
    last = next(node for node in broken.graph.node if output in node.output)
    last.output[0] = "before"
    inputs, operation = {
        "small": (["before", "by"], "Add"),
        "nan": (["before", "by"], "Mul"),
        "shape": (["before", "by"], "Concat"),
    }[damage]
    by: Any = np.array({"small": 2e-3, "nan": np.nan, "shape": 0}[damage], np.float32)
    if damage == "shape":
        inputs = ["before", "before"]
    broken.graph.initializer.append(onnx.numpy_helper.from_array(by, "by"))
    options: Any = {"axis": 0} if damage == "shape" else {}
    broken.graph.node.append(onnx.helper.make_node(operation, inputs, [output], **options))
    monkeypatch.setattr(writing, "onnx_model", lambda _traced: broken)
    with pytest.raises(UserError, match=r"tiny\.onnx: class scores at 1 x 32 x 32 differ"):
        export_model(tiny(), tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def test_masks_that_are_wrong_are_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_path: Path) -> Any:
        return lambda images: [
            (scores := tiny()(torch.from_numpy(images)).detach()).numpy(),
            1 - bilinear_masks(scores, torch.from_numpy(images)).numpy(),
        ]

    monkeypatch.setattr(writing, "program_runner", run)
    with pytest.raises(UserError, match="masks at 1 x 32 x 32 differ"):
        export_model(tiny(), tmp_path / "tiny.pt2", masks=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fixed_ranges", [False, True])
def test_eight_bits(
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fixed_ranges: bool,
) -> None:
    monkeypatch.setattr(writing, "onnx_model", lambda _traced: copy.deepcopy(model))
    path = tmp_path / "int8.onnx"
    written = export_model(
        tiny(),
        path,
        int8=True,
        fixed_ranges=fixed_ranges,
        images=write_striped_folder(tmp_path / "photos"),
    )
    assert written.loss is not None
    assert written.loss.images == 6
    assert written.loss.changed is not None
    assert written.loss.changed < 0.05
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert ("QuantizeLinear" if fixed_ranges else "MatMulInteger") in kinds
    assert "classes" in onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    images = torch.rand(2, 3, 48, 80)
    scores = onnx_runner(path)(images.numpy())[0]
    assert np.abs(scores - tiny()(images).detach().numpy()).max() < 0.2


def test_a_model_without_images_is_not_measured(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "onnx_model", lambda _traced: copy.deepcopy(model))
    assert export_model(tiny(), tmp_path / "int8.onnx", int8=True).loss is None
    with pytest.raises(UserError, match="--fixed-ranges: give images"):
        export_model(tiny(), tmp_path / "other.onnx", int8=True, fixed_ranges=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("model.bin", {}, r"end in \.onnx or \.pt2"),
        ("model.onnx", {"format_name": "torch"}, r"must end in \.pt2"),
        ("model.pt2", {"int8": True}, "only for ONNX"),
        ("model.onnx", {"labels": "labels"}, "only for --int8"),
        ("model.onnx", {"int8": True, "labels": "labels"}, "also give the images"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        export_model("no run", tmp_path / name, **options)


@pytest.mark.parametrize("name", ["torch.onnx", "torch.utils.flop_counter"])
def test_exporters_only_report_errors_while_they_work(name: str) -> None:
    logger = logging.getLogger(name)
    assert logger.isEnabledFor(logging.WARNING)
    with silent_exporters():
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.isEnabledFor(logging.WARNING)
