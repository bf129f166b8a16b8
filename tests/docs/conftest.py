"""A folder like that of a reader of the documentation, with tiny pictures."""

import contextlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.docs.shell import quickened

from segdistill.backbones.efficientnet_lite import EfficientNetLite
from segdistill.cli.main import main
from segdistill.clustering import class_count
from segdistill.config import settings
from segdistill.sample.dataset import write_sample
from segdistill.training import linear_probe

WIDTH, HEIGHT = 128, 96
STEPS, RESOLUTION = 8, 96
"""Of fits for which a page sets nothing."""

CLICKS = """\
image,x,y,class
beach.jpg,64,5,sky
scene_0001.jpg,64,5,sky
scene_0002.jpg,64,5,sky
beach.jpg,64,90,ground
scene_0001.jpg,64,90,ground
scene_0002.jpg,64,90,ground
"""


@pytest.fixture(scope="session")
def reader_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The reader's folder with a finished run, and a copy of it that stays as it is."""
    root = tmp_path_factory.mktemp("reader")
    here, copy = root / "here", root / "copy"
    _write_pictures(here)
    with pytest.MonkeyPatch.context() as patch:
        _fit_quickly(patch)
        patch.setenv("SEGDISTILL_CACHE", str(root / "store"))
        patch.chdir(here)
        for command in (
            ("fit", "photos", "--quiet"),
            ("segment", "runs/photos", "photos", "--quiet"),
            ("segment", "runs/photos", "more_photos", "--quiet"),
        ):
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()) as errors,
            ):
                assert main(quickened(command)) == 0, errors.getvalue()
    shutil.copytree(here, copy, symlinks=True)
    return here, copy


@pytest.fixture
def reader(reader_once: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, as it was at first; the current folder."""
    here, copy = reader_once
    shutil.rmtree(here)
    shutil.copytree(copy, here, symlinks=True)
    monkeypatch.chdir(here)
    # One store for all pages: what one has computed, the next need not.
    monkeypatch.setenv("SEGDISTILL_CACHE", str(here.parent / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(linear_probe, "STEPS", 20)
    _fit_quickly(monkeypatch)
    return here


def _fit_quickly(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settings, "MOST_STEPS", STEPS)
    patch.setattr(EfficientNetLite, "resolution", RESOLUTION)
    patch.setattr(class_count, "CANDIDATES", (3, 4, 5, 6, 7, 8))
    patch.setattr(class_count, "RANDOM_SPLITS", 2)


def _write_pictures(here: Path) -> None:
    """Write photos, labels, depth maps, clicks, frames, scans and tiles."""
    world = write_sample(here / "world", train=8, val=4, width=WIDTH, height=HEIGHT)
    shutil.copytree(world / "imgs" / "train", here / "photos")
    (here / "photos" / "scene_0000.jpg").rename(here / "photos" / "beach.jpg")
    shutil.copytree(world / "depth" / "train", here / "photos_depth")
    (here / "photos_depth" / "scene_0000.png").rename(here / "photos_depth" / "beach.png")
    shutil.copytree(world / "imgs" / "val", here / "more_photos")
    shutil.copytree(world / "imgs" / "val", here / "frames")
    shutil.copytree(world / "imgs" / "val", here / "val" / "imgs")
    shutil.copytree(world / "labels" / "val", here / "val" / "labels")
    (here / "clicks.csv").write_text(CLICKS)
    _write_scans(here)


def _write_scans(here: Path) -> None:
    """Write 16-bit scans with labels, and masks of what is to be ignored."""
    for name in ("scans", "scan_labels", "ignored"):
        (here / name).mkdir()
    for path in sorted((here / "photos").iterdir()):
        grey = np.asarray(Image.open(path).convert("L"), np.int32)
        Image.fromarray((grey * 4 + 900).astype(np.uint16)).save(
            here / "scans" / f"{path.stem}.png"
        )
        labels = (grey > 128).astype(np.uint8)
        Image.fromarray(labels).save(here / "scan_labels" / f"{path.stem}.png")
        ignored = np.zeros((HEIGHT, WIDTH), np.uint8)
        ignored[:8, :32] = 255
        Image.fromarray(ignored).save(here / "ignored" / f"{path.stem}.png")
