"""``segdistill datasets`` as a user runs it."""

from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import Run

from segdistill.datasets import dataset_names


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few files of CamVid, complete, and of VOC, incomplete."""
    for split, count in (("train", 3), ("val", 2)):
        for kind, mode in (("imgs", "RGB"), ("labels", "L")):
            folder = tmp_path / "data" / "camvid" / kind / split
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new(mode, (4, 4)).save(folder / f"{number}.png")
    home = tmp_path / "data" / "VOCdevkit" / "VOC2012"
    (home / "JPEGImages").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(home / "JPEGImages" / "a.jpg")
    (home / "ImageSets" / "Segmentation").mkdir(parents=True)
    (home / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    return tmp_path / "data"


def test_all_data_sets_are_listed(segdistill: Run) -> None:
    status, out, error = segdistill("datasets")
    assert (status, error) == (0, "")
    blocks = out.split("\n\n")
    assert [block.strip().split(":")[0] for block in blocks] == list(dataset_names())
    assert "27: road, sidewalk" in out
    assert "cityscapes-dataset.com" in out
    assert "Found" not in out
    assert max(map(len, out.splitlines())) <= 88


def test_found_and_missing_files_are_reported(segdistill: Run, data: Path) -> None:
    status, out, _ = segdistill("datasets", "--root", data)
    assert status == 0
    block = {text.strip().split(":")[0]: text for text in out.split("\n\n")}
    assert "  Found    train: 3 images, 3 with labels\n" in block["camvid11"]
    assert "           val: 2 images, 2 with labels\n" in block["camvid11"]
    assert "  Missing  nothing" in block["camvid11"]
    assert "  Found    val: 1 images, 0 with labels\n" in block["voc21"]
    assert "  Missing  the list VOC2012/ImageSets/Segmentation/train.txt\n" in block["voc21"]
    assert "           1 of 2 files in VOC2012/JPEGImages, such as b.jpg\n" in block["voc21"]
    assert "           the folder VOC2012/SegmentationClass" in block["voc21"]
    assert "  Found    nothing\n  Missing  the folder cocostuff" in block["cocostuff27"]


def test_one_data_set_with_its_files(segdistill: Run, data: Path) -> None:
    (data / "camvid" / "classes.txt").write_text("sky\nearth\n")
    status, out, _ = segdistill("datasets", "directory", "--root", data / "camvid")
    assert status == 0
    assert out.startswith("directory: ")
    assert "  Classes  2: sky, earth\n" in out
    assert "  Files    imgs/{train,val}/NAME.jpg" in out
    assert "camvid11" not in out


def test_mistakes_are_reported(segdistill: Run, tmp_path: Path) -> None:
    status, out, error = segdistill("datasets", "cityscape")
    assert (status, out) == (2, "")
    assert error == ("segdistill datasets: no data set 'cityscape'; did you mean cityscapes27?\n")
    status, _, error = segdistill("datasets", "--root", tmp_path / "none")
    assert status == 2
    assert "no such folder" in error
    status, out, _ = segdistill("--help")
    assert "list the benchmark data sets" in out
