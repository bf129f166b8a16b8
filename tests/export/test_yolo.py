"""YOLO's labels, read by supervision and by the words of the format."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.export.exporting import (
    CLASSES,
    PATTERN,
    Mask,
    export,
    filled,
    painted,
    random_mask,
    write_images,
    write_masks,
)

from segdistill.errors import UserError
from segdistill.export.yolo import split_subsets

MASKS = {"a.png": PATTERN, "b.png": random_mask(1)}
MASKS_IN_FOLDERS = {**MASKS, "more/c.png": random_mask(2)}


def read_label_file(path: Path, size: tuple[int, int]) -> Mask:
    height, width = size
    parts = []
    for line in path.read_text().splitlines():
        number, *values = line.split()
        shares = np.array(values, float).reshape(-1, 2)
        assert len(shares) >= 3
        assert shares.min() >= 0
        assert shares.max() <= 1
        corners = shares * (width, height)
        assert np.abs(corners - corners.round()).max() < 1e-6
        parts.append((int(number), filled([corners.round().astype(int)], size)))
    return painted(parts, size)


def test_label_files_hold_the_masks(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", MASKS_IN_FOLDERS)
    done = export("yolo", folder, tmp_path / "out", split=0.0)
    assert done.sidecar == tmp_path / "out" / "data.yaml"
    for name, mask in MASKS_IN_FOLDERS.items():
        path = (tmp_path / "out" / "labels" / "train" / name).with_suffix(".txt")
        assert (read_label_file(path, mask.shape) == mask).all()
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert data == {
        "train": "images/train",
        "val": None,
        "names": {each.index: each.name for each in CLASSES},
    }
    assert not (tmp_path / "out" / "images").exists()


def test_supervision_reads_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # It says that it does without OpenCV.
        warnings.simplefilter("ignore")
        import supervision  # noqa: PLC0415

        big = {name: mask.repeat(8, axis=0).repeat(8, axis=1) for name, mask in MASKS.items()}
        folder = write_masks(tmp_path / "masks", big)
        images = write_images(tmp_path / "images", big)
        out = tmp_path / "out"
        export("yolo", folder, out, images, split=0.0)
        data = supervision.DetectionDataset.from_yolo(
            str(out / "images/train"),
            str(out / "labels/train"),
            str(out / "data.yaml"),
            force_masks=True,
        )
        assert data.classes == [each.name for each in CLASSES]
        assert len(data) == 2
        for path, _, found in data:
            mask = big[f"{Path(path).stem}.png"]
            assert found.mask is not None
            assert found.class_id is not None
            right = np.zeros(mask.shape, bool)
            for class_index, pixels in zip(found.class_id, found.mask, strict=True):
                right |= pixels & (mask == class_index)
            # Its polygons take in the pixels that their lines run through, as OpenCV's do.
            assert right.sum() / (mask != 255).sum() > 0.99


@pytest.mark.parametrize("copy", [False, True])
def test_images_lie_where_labels_are_looked_for(tmp_path: Path, copy: bool) -> None:
    masks = {**MASKS_IN_FOLDERS, "a.jpg.png": PATTERN, "a.tif.png": PATTERN}
    del masks["a.png"]
    folder = write_masks(tmp_path / "masks", masks)
    images = write_images(tmp_path / "images", {"b.png": MASKS["b.png"]})
    write_images(images, {"more/c.png": MASKS_IN_FOLDERS["more/c.png"]}, ".png")
    for suffix in (".jpg", ".tif"):
        write_images(images, {"a.png": PATTERN}, suffix)
    for overwrite in (False, True):
        export(
            *("yolo", folder, tmp_path / "out", images),
            copy_images=copy,
            overwrite=overwrite,
            split=0.0,
        )
        placed = sorted(each for each in (tmp_path / "out" / "images/train").rglob("*.*"))
        names = [each.relative_to(tmp_path / "out" / "images/train").as_posix() for each in placed]
        assert names == ["a.jpg.jpg", "a.tif.tif", "b.jpg", "more/c.png"]
        for each in placed:
            assert each.is_symlink() != copy
            # What Ultralytics does with the path of an image.
            label = Path(str(each).replace("/images/", "/labels/")).with_suffix(".txt")
            with Image.open(each) as image:
                size = (image.height, image.width)
            name = label.relative_to(tmp_path / "out" / "labels/train").with_suffix(".png")
            assert (read_label_file(label, size) == masks[name.as_posix()]).all()


def test_an_image_that_lies_there_already_stays(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", MASKS)
    images = write_images(tmp_path / "out" / "images", MASKS)
    before = {path: path.read_bytes() for path in images.iterdir()}
    export("yolo", folder, tmp_path / "out", images, overwrite=True)
    assert {path: path.read_bytes() for path in before} == before
    assert not any(path.is_symlink() for path in before)


def test_labels_of_another_export_never_stay_among_these(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export("yolo", write_masks(tmp_path / "masks", MASKS), out, split=0.0)
    fewer = write_masks(tmp_path / "fewer", {"a.png": PATTERN})
    with pytest.raises(UserError, match=r"labels/train/b\.txt: label file of another export"):
        export("yolo", fewer, out, overwrite=True, split=0.0)
    assert (out / "data.yaml").exists()
    # A mask that is damaged now leaves no label of before.
    (tmp_path / "masks" / "b.png").write_bytes(b"damaged")
    done = export("yolo", tmp_path / "masks", out, overwrite=True, split=0.0)
    assert (done.written, len(done.skipped)) == (1, 1)
    assert [path.name for path in (out / "labels/train").iterdir()] == ["a.txt"]


def test_an_image_without_segments_has_an_empty_label_file(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", {"a.png": np.full((3, 4), 255, np.uint8)})
    export("yolo", folder, tmp_path / "out")
    assert (tmp_path / "out" / "labels" / "train" / "a.txt").read_text() == ""


def test_the_validation_set_is_another_one(tmp_path: Path) -> None:
    masks = {f"{number}.png": PATTERN for number in range(20)}
    folder = write_masks(tmp_path / "masks", masks)
    export("yolo", folder, tmp_path / "out", split=0.3)
    subsets = {
        name: {path.stem for path in (tmp_path / "out" / "labels" / name).iterdir()}
        for name in ("train", "val")
    }
    assert subsets["train"] | subsets["val"] == {Path(name).stem for name in masks}
    assert not subsets["train"] & subsets["val"]
    assert 2 <= len(subsets["val"]) <= 11
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert (data["train"], data["val"]) == ("images/train", "images/val")
    # An image keeps its subset when others join.
    more = split_subsets([*(Path(name).stem for name in masks), "new"], 0.3)
    for name, stems in subsets.items():
        assert all(more[stem] == f"{name}/{stem}" for stem in stems)


def test_folders_called_train_and_val_are_kept() -> None:
    assert split_subsets(["city/train/a", "city/val/b"], 0.2) == {
        "city/train/a": "train/city/a",
        "city/val/b": "val/city/b",
    }
    assert set(split_subsets(["a"], 0.2).values()) == {"train/a"}
    assert sorted(each.split("/")[0] for each in split_subsets(["a", "b"], 0.01).values()) == [
        "train",
        "val",
    ]
    assert sorted(each.split("/")[0] for each in split_subsets(["a", "b"], 0.99).values()) == [
        "train",
        "val",
    ]
