"""Images of more than 8 bits, and with parts that mean nothing, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.cli.conftest import QUICK, Run
from tests.decoding.rasters import bands_of, write_raster
from tests.helpers import striped_image, striped_labels
from tests.inference.videos import write_video

from segdistill.decoding.decode import read_picture
from segdistill.model.segmenter import Segmenter

KMEANS = ("--backbone", "tiny", "--classes", 3, "--method", "kmeans")


def thermal(seed: int) -> NDArray[np.uint16]:
    """Return the stripes as temperatures of three levels, in a narrow band of 16 bits."""
    levels = np.array([40, 120, 200])[striped_labels(seed)]
    noise = np.random.default_rng(seed).normal(0, 5, levels.shape)
    return (51241 + 4 * (levels + noise)).astype(np.uint16)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "labels"):
        Path(folder).mkdir()
    for seed in range(6):
        Image.fromarray(striped_labels(seed)).save(f"labels/{seed}.png")
    return tmp_path


def read_mask(path: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def accuracy(out: str) -> float:
    return float(out.split("Accuracy:")[1].split("%", 1)[0])


def test_a_run_keeps_the_value_range_and_uses_it(world: Path, segdistill: Run) -> None:
    for seed in range(6):
        Image.fromarray(thermal(seed)).save(f"photos/{seed}.png")
    status, _, error = segdistill("fit", "photos", *KMEANS, "--out", "run")
    assert status == 0, error
    assert "grey images of more than 8 bits: values from 51" in error
    reading = Segmenter.load("run").settings.reading
    ranges = reading.ranges_for(1)
    assert ranges is not None
    assert 51300 < ranges[0][0] < 51450
    # A cool scene alone keeps its place on the scale.
    cool = np.where(striped_labels(0) == 2, thermal(0), thermal(0).min())
    Path("more").mkdir()
    Image.fromarray(thermal(0)).save("more/a.png")
    Image.fromarray(cool).save("more/b.png")
    status, _, error = segdistill("segment", "run", "more", "--out", "masks", "--min-region", 0)
    assert status == 0, error
    whole, alone = read_mask("masks/a.png"), read_mask("masks/b.png")
    ground = striped_labels(0) == 2
    assert (whole[ground] == alone[ground]).mean() > 0.95
    status, out, error = segdistill("evaluate", "run", "--images", "photos", "--labels", "labels")
    assert status == 0, error
    for seed in range(6):
        Path("plain").mkdir(exist_ok=True)
        grey = (thermal(seed).astype(int) - 51241) // 4
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(f"plain/{seed}.png")
    status, _, error = segdistill("fit", "plain", *KMEANS, "--out", "other_run")
    assert status == 0, error
    compared = ("evaluate", "other_run", "--images", "plain", "--labels", "labels")
    status, plain, error = segdistill(*compared)
    assert status == 0, error
    assert accuracy(out) > accuracy(plain) - 2
    refused = ("segment", "run", "more", "--out", "other", "--value-range", "0,65535")
    status, _, error = segdistill(*refused)
    assert status == 2
    assert "the run has its own range (51" in error
    status, _, error = segdistill("features", "more", "--run", "run", "--out", "codes")
    assert status == 0, error
    about = json.loads(Path("codes/features.json").read_text())
    assert about["reading"]["ranges"] == [[list(ranges[0])]]


def test_a_value_range_is_given(world: Path, segdistill: Run) -> None:
    for seed in range(3):
        Image.fromarray(thermal(seed)).save(f"photos/{seed}.png")
    fit = ("fit", "photos", *KMEANS, "--out", "run", "--value-range=-51000,52500")
    status, _, error = segdistill(*fit)
    assert status == 0, error
    assert Segmenter.load("run").settings.reading.ranges_for(1) == ((-51000.0, 52500.0),)
    status, _, error = segdistill("fit", "photos", *KMEANS, "--value-range", "9")
    assert status == 2
    assert "--value-range 9: must be two numbers" in error
    for given, out in ((("--value-range", "-51000,52500"), "one"), ((), "two")):
        status, _, error = segdistill("features", "photos", *KMEANS[:2], "--out", out, *given)
        assert status == 0, error
    assert not np.array_equal(np.load("one/0.npy"), np.load("two/0.npy"))


def test_transparent_pixels_teach_nothing_and_get_no_class(world: Path, segdistill: Run) -> None:
    hole = np.zeros((64, 96), np.bool_)
    hole[:, :32] = True
    for seed in range(6):
        image = striped_image(seed)
        image[hole] = (255, 0, 255)
        alpha = np.where(hole, 0, 255).astype(np.uint8)
        Image.fromarray(np.dstack([image, alpha])).save(f"photos/{seed}.png")
    status, _, error = segdistill("fit", "photos", "--backbone", "tiny", "--classes", 3, *QUICK)
    assert status == 0, error
    status, _, error = segdistill("segment", "runs/photos", "photos", "--overlay", "--scores")
    assert status == 0, error
    mask = read_mask("masks/photos/0.png")
    assert (mask[hole] == 255).all()
    # The three stripes are the three classes: none is spent on the hole.
    assert set(np.unique(mask[~hole]).tolist()) == {0, 1, 2}
    with Image.open("masks/photos/0.png") as opened:
        assert opened.info["transparency"] == 255
    overlaid = np.asarray(Image.open("masks/photos/0.overlay.jpg")).astype(int)
    shown = read_picture(Path("photos/0.png")).displayed.astype(int)
    assert np.abs(overlaid - shown)[:, :20].mean() < 4
    header, first, *_ = Path("masks/photos/images.csv").read_text().splitlines()
    assert header.startswith("image,unusual,distance")
    assert sum(map(float, first.split(",")[3:])) == pytest.approx(1, abs=0.01)
    status, out, error = segdistill(
        "evaluate", "runs/photos", "--images", "photos", "--labels", "labels"
    )
    assert status == 0, error
    assert accuracy(out) > 85
    status, _, error = segdistill("segment", "runs/photos", "photos", "--resume", "--overlay")
    assert status == 0, error


def test_ignore_masks_of_fit_and_segment(world: Path, segdistill: Run) -> None:
    Path("dirt").mkdir()
    for seed in range(6):
        image = striped_image(seed)
        image[:, 64:] = (255, 0, 255)  # dirt on the lens
        Image.fromarray(image).save(f"photos/{seed}.jpg", quality=95)
        marked = np.zeros((64, 96), np.uint8)
        marked[:, 64:] = 255
        Image.fromarray(marked).save(f"dirt/{seed}.png")
    status, _, error = segdistill("fit", "photos", *KMEANS, "--ignore-mask", "dirt", "--out", "run")
    assert status == 0, error
    segment = ("segment", "run", "photos", "--ignore-mask", "dirt", "--min-region", 0)
    status, _, error = segdistill(*segment)
    assert status == 0, error
    mask = read_mask("masks/photos/3.png")
    assert (mask[:, 64:] == 255).all()
    assert set(np.unique(mask[:, :64]).tolist()) == {0, 1, 2}
    status, _, error = segdistill(
        "segment", "run", "photos", "--ignore-mask", "labels", "--out", "x"
    )
    assert status == 0, error  # any images of the same names
    Path("none").mkdir()
    Image.new("L", (9, 9)).save("none/other.png")
    status, _, error = segdistill("segment", "run", "photos", "--ignore-mask", "none", "--out", "y")
    assert status == 2
    assert "has a pixel mask of the same name (such as other.png)" in error


def test_ignore_masks_of_rasters(world: Path, segdistill: Run) -> None:
    for seed in range(3):
        write_raster(Path(f"photos/{seed}.tif"), bands_of(striped_image(seed)))
        marked = np.zeros((64, 96), np.uint8)
        marked[:32] = 1
        Image.fromarray(marked).save(f"labels/{seed}.png")
    status, _, error = segdistill(
        "fit", "photos", "--backbone", "tiny", "--classes", 2, "--method", "kmeans", "--out", "run"
    )
    assert status == 0, error
    status, _, error = segdistill("segment", "run", "photos", "--ignore-mask", "labels")
    assert status == 0, error
    mask = read_mask("masks/photos/0.tif")
    assert (mask[:32] == 255).all()
    assert mask[32:].max() < 2


def test_bars_of_a_video_get_no_class(world: Path, segdistill: Run) -> None:
    for seed in range(3):
        Image.fromarray(striped_image(seed)).save(f"photos/{seed}.png")
    status, _, error = segdistill("fit", "photos", *KMEANS, "--out", "run")
    assert status == 0, error
    frame = np.zeros((96, 96, 3), np.uint8)
    frame[16:-16] = striped_image(0)
    write_video(Path("clip.mp4"), [frame] * 3)
    status, _, error = segdistill("segment", "run", "clip.mp4", "--out", "masks", "--overlay")
    assert status == 0, error
    mask = read_mask("masks/frame_000002.png")
    assert (mask[:14] == 255).all()
    assert (mask[-14:] == 255).all()
    assert mask[20:-20].max() < 3
    Path("dirt").mkdir()
    marked = np.zeros((96, 96), np.uint8)
    marked[:, 80:] = 1
    Image.fromarray(marked).save("dirt/clip.png")
    again = ("segment", "run", "clip.mp4", "--out", "more", "--ignore-mask", "dirt")
    status, _, error = segdistill(*again)
    assert status == 0, error
    assert (read_mask("more/frame_000003.png")[:, 80:] == 255).all()
