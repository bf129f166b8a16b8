"""``segdistill convert``, as a user runs it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import GOLDEN, write_striped_folder

Run = Callable[..., tuple[int, str, str]]

CHECKPOINT = GOLDEN / "stego_layout.ckpt"


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Harm:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def test_a_checkpoint_is_converted_moved_and_used(segdistill: Run) -> None:
    status, out, error = segdistill("convert", CHECKPOINT, "--out", "runs/stego")
    assert (status, error) == (0, "")
    assert out.splitlines() == [
        "Run:      runs/stego (5 classes, codes of 10 channels)",
        "Backbone: runs/stego/backbone (ViT of 48 channels, patches of 8, 6 heads)",
        "Probe:    runs/stego/linear_probe.safetensors (linear, 5 label classes)",
        "Next:     segdistill segment runs/stego IMAGES",
    ]
    shutil.move("runs/stego", "moved")
    write_striped_folder(Path("photos"), count=2)
    status, out, error = segdistill("segment", "moved", "photos", "--resolution", 64, "--quiet")
    assert status == 0, error
    mask = np.asarray(Image.open("masks/photos/picture_0.png"))
    assert mask.shape == (64, 96)
    assert mask.max() < 5


def test_a_run_is_replaced_only_with_overwrite(segdistill: Run) -> None:
    assert segdistill("convert", CHECKPOINT, "--out", "run", "--num-heads", 6)[0] == 0
    status, out, error = segdistill("convert", CHECKPOINT, "--out", "run")
    assert (status, out) == (2, "")
    assert error == (
        "segdistill convert: run: already contains a run; add --overwrite to replace it, or choose"
        " another folder with --out\n"
    )
    status, out, _ = segdistill(
        "convert", CHECKPOINT, "--out", "run", "--num-heads=4", "--overwrite"
    )
    assert status == 0
    assert "4 heads" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"text", "cannot be read as a checkpoint"),
        (
            {"state_dict": {"fc.weight": torch.ones(1)}},
            "lacks net.model.*; expected STEGO's layout",
        ),
        ({"state_dict": {}, "a": Harm()}, "refused, because its pickle names 'posix.system'"),
    ],
)
def test_mistakes_are_one_line(
    content: bytes | dict[str, object] | None, message: str, segdistill: Run
) -> None:
    path = Path("a.ckpt")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    status, out, error = segdistill("convert", path, "--out", "run")
    assert (status, out) == (2, "")
    assert error.startswith("segdistill convert: a.ckpt: ")
    assert message in error
    assert error.count("\n") == 1
    assert not Path("run").exists()
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--out is missing"),
        (("--out", "run", "--num-heads", "many"), "a whole number"),
        (("--out", "run", "--num-heads", 0), "at least 1"),
        (("--out", "run", "--num-head", 6), "did you mean --num-heads?"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: tuple[object, ...], message: str, segdistill: Run
) -> None:
    status, _, error = segdistill("convert", CHECKPOINT, *arguments)
    assert status == 2
    assert message in error
