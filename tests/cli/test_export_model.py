"""``segdistill export-model`` as a user runs it."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.helpers import striped_image, striped_labels, write_run_stub

from segdistill import Segmenter
from segdistill.deployment import writing
from segdistill.deployment.onnx_file import onnx_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_segment.py"


@pytest.mark.slow  # the example is run by `make test-docs`, the graph by tests/deployment
def test_onnx_from_run_to_mask_without_torch(
    photos: Path, fitted: Path, segdistill: Run, tmp_path: Path
) -> None:
    assert segdistill("name", fitted, "1=water", "--quiet")[0] == 0
    status, out, error = segdistill("export-model", fitted, "model.onnx", "--quiet")
    assert (status, error) == (0, "")
    assert out.startswith("Model:   model.onnx (0.")
    assert "Checked: class scores differ from the run's by " in out

    status, out, error = segdistill("export-model", fitted, "model.onnx")
    assert (status, out) == (2, "")
    assert "already exists" in error

    # The size at which the tiny backbone sees images, so that nothing is resized.
    Image.fromarray(striped_image(9)).save("photo.png")
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:];"
        " runpy.run_path(sys.argv[0], run_name='__main__');"
        " assert not {'torch', 'segdistill'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, EXAMPLE, "model.onnx", "photo.png", "mask.png"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "water: " in done.stdout
    segmenter = Segmenter.load(fitted)
    with Image.open("mask.png") as mask:
        assert (mask.getpalette() or [])[:9] == [
            v for each in segmenter.classes for v in each.colour
        ]
        expected = segmenter.segment("photo.png", upsampling="bilinear")
        assert (np.asarray(mask) == expected).mean() > 0.999


@pytest.mark.slow
def test_eight_bits_report_the_accuracy_loss(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []

    def converted_once(traced: Any) -> Any:
        """Return the graph of the run, which both commands write."""
        kept[:] = kept or [onnx_model(traced)]
        return deepcopy(kept[0])

    monkeypatch.setattr(writing, "onnx_model", converted_once)
    Path("val").mkdir()
    Path("labels").mkdir()
    for seed in range(3):
        Image.fromarray(striped_image(seed)).save(f"val/{seed}.png")
        Image.fromarray(striped_labels(seed)).save(f"labels/{seed}.png")
    status, out, error = segdistill(
        "export-model",
        fitted,
        "a.onnx",
        "--int8",
        "--images",
        "val",
        "--labels",
        "labels",
        "--quiet",
    )
    assert (status, error) == (0, "")
    assert "% before, " in out
    assert "% after, on 3 images" in out
    # Without --images, those of the run are used.
    status, out, _ = segdistill("export-model", fitted, "b.onnx", "--int8", "--quiet")
    assert "% of pixels change class, on 6 images" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.bin"], "must end in .onnx or .pt2"),
        (["model.pt2", "--int8"], "--int8: only for ONNX"),
        (["model.onnx", "--images", "nowhere"], "nowhere"),
        (["model.onnx", "--format", "tf"], "must be one of 'onnx', 'torch'"),
    ],
)
def test_mistakes_are_reported_in_a_line(
    tmp_path: Path, segdistill: Run, arguments: list[str], message: str
) -> None:
    status, out, error = segdistill("export-model", write_run_stub(tmp_path / "run"), *arguments)
    assert (status, out) == (2, "")
    assert message in error
