"""A fit on any form of the toy world scores as on its 8-bit form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.corpus.images import grey_of, write_png_16
from tests.corpus.tiff import write_tiff

import segdistill
from segdistill.sample.dataset import write_sample

Pixels = NDArray[np.uint8]
Write = Callable[[Path, Pixels], object]

MOST_LOST = 0.02
"""Points of mIoU."""


def save_grey(path: Path, image: Pixels) -> None:
    Image.fromarray(grey_of(image)).save(path.with_suffix(".png"))


def save_thermal(path: Path, image: Pixels) -> None:
    values = 51241 + grey_of(image).astype(np.uint16) * 4
    Image.fromarray(values).save(path.with_suffix(".png"))


def save_signed(path: Path, image: Pixels) -> None:
    write_tiff(path.with_suffix(".tif"), grey_of(image).astype(np.int16) * 12 - 1024)


def save_colours(path: Path, image: Pixels) -> None:
    Image.fromarray(image).save(path.with_suffix(".png"))


def save_12_bits(path: Path, image: Pixels) -> None:
    write_png_16(path.with_suffix(".png"), image.astype(np.uint16) * 16)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_sample(folder, train=24, val=8)
    return folder


def score(world: Path, folder: Path, write: Write) -> float:
    """Return the mIoU of a fit on a form of the toy world."""
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        for path in sorted((world / "imgs" / split).iterdir()):
            with Image.open(path) as image:
                write(folder / split / path.stem, np.asarray(image.convert("RGB")))
    run = folder / "run"
    segdistill.fit(folder / "train", classes=6, out=run)
    evaluation = segdistill.evaluate(run, folder / "val", world / "labels" / "val")
    return next(iter(evaluation.scores.values())).mean_iou


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plain", "forms"),
    [(save_grey, [save_thermal, save_signed]), (save_colours, [save_12_bits])],
    ids=["grey", "colour"],
)
def test_other_forms_score_as_8_bits_do(
    tmp_path: Path, world: Path, plain: Write, forms: list[Write]
) -> None:
    expected = score(world, tmp_path / "plain", plain)
    for number, write in enumerate(forms):
        found = score(world, tmp_path / f"form_{number}", write)
        assert found > expected - MOST_LOST, (write, found, expected)
