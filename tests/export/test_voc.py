"""PASCAL VOC's folders and CVAT's zip, by the words of the formats and, if it is here, datumaro."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.export.exporting import (
    CLASSES,
    PATTERN,
    Mask,
    export,
    painted,
    random_mask,
    write_images,
    write_masks,
)

from segdistill.errors import UserError
from segdistill.export.options import FormatName
from segdistill.export.voc import label_map
from segdistill.images.palette import voc_colours
from segdistill.model.description import SegmentClass, numbered_classes

MASKS = {"a b.png": PATTERN, "more/b.png": random_mask(1)}
COLOURS = np.array([(0, 0, 0), *(each.colour for each in CLASSES)], np.uint8)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks", MASKS)


def read_label_map(text: str) -> list[tuple[str, tuple[int, ...]]]:
    rows = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    assert all(len(row) == 4 for row in rows)
    return [(row[0], tuple(map(int, row[1].split(",")))) for row in rows]


EXPECTED_MAP = [("background", (0, 0, 0)), *((each.name, each.colour) for each in CLASSES)]


def test_voc_masks_have_numbers_and_colours(masks: Path, tmp_path: Path) -> None:
    done = export("voc", masks, tmp_path / "out")
    assert done.sidecar == tmp_path / "out" / "labelmap.txt"
    ignored = ("ignored", (224, 224, 192))
    assert read_label_map(done.sidecar.read_text()) == [*EXPECTED_MAP, ignored]
    for name, mask in MASKS.items():
        with Image.open(tmp_path / "out" / "SegmentationClass" / name) as picture:
            assert picture.mode == "P"
            numbers = np.array(picture)
            colours = np.array(picture.convert("RGB"))
        assert (numbers == np.where(mask == 255, 255, mask + np.uint8(1))).all()
        inside = mask != 255
        assert (colours[inside] == COLOURS[numbers[inside]]).all()
        assert (colours[~inside] == (224, 224, 192)).all()
    listed = tmp_path / "out" / "ImageSets" / "Segmentation" / "trainval.txt"
    assert listed.read_text() == "a b\nmore/b\n"


@pytest.mark.parametrize(("form", "out"), [("voc", "out"), ("cvat", "out.zip")])
def test_names_of_two_lines_are_left_out_of_the_list(
    tmp_path: Path, form: FormatName, out: str
) -> None:
    masks = write_masks(tmp_path / "masks", {"a.png": PATTERN, "b\nc.png": PATTERN})
    done = export(form, masks, tmp_path / out)
    assert done.written == 1
    (skipped,) = done.skipped
    assert "c.png: the name contains a line break" in skipped.reason


def test_voc_images_are_linked_or_copied(masks: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", MASKS)
    for copy, out in ((False, tmp_path / "linked"), (True, tmp_path / "copied")):
        export("voc", masks, out, images, copy_images=copy)
        for name in ("a b.jpg", "more/b.jpg"):
            path = out / "JPEGImages" / name
            assert path.read_bytes() == (images / name).read_bytes()
            assert path.is_symlink() != copy


def test_cvat_masks_are_painted_in_the_colours_of_the_label_map(
    masks: Path, tmp_path: Path
) -> None:
    done = export("cvat", masks, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [
            "ImageSets/Segmentation/default.txt",
            "SegmentationClass/a b.png",
            "SegmentationClass/more/b.png",
            "SegmentationObject/a b.png",
            "SegmentationObject/more/b.png",
            "labelmap.txt",
        ]
        assert read_label_map(archive.read("labelmap.txt").decode()) == EXPECTED_MAP
        assert archive.read("ImageSets/Segmentation/default.txt") == b"a b\nmore/b\n"
        for name, mask in MASKS.items():
            for folder, table in (
                ("SegmentationClass", COLOURS),
                ("SegmentationObject", np.array(voc_colours(256), np.uint8)),
            ):
                with archive.open(f"{folder}/{name}") as file, Image.open(file) as picture:
                    assert picture.mode == "RGB"
                    assert (np.array(picture) == table[np.where(mask == 255, 0, mask + 1)]).all()
    assert done.sidecar == tmp_path / "out.labels.json"
    assert json.loads(done.sidecar.read_text())[0] == {
        "name": "sky",
        "color": "#4682b4",
        "attributes": [],
    }


@pytest.mark.parametrize("name", ["voc", "cvat"])
def test_datumaro_reads_the_masks(masks: Path, tmp_path: Path, name: str) -> None:
    """CVAT itself imports through datumaro, which is too large to install for this test alone."""
    datumaro = pytest.importorskip("datumaro")
    folder = tmp_path / "read"
    if name == "voc":
        export("voc", masks, folder)
    else:
        export("cvat", masks, tmp_path / "out.zip")
        zipfile.ZipFile(tmp_path / "out.zip").extractall(folder)
    data = datumaro.Dataset.import_from(str(folder), "voc_segmentation")
    labels = [each.name for each in data.categories()[datumaro.AnnotationType.label].items]
    class_indices = {each.name: each.index for each in CLASSES}
    found: dict[str, Mask] = {}
    for item in data:
        parts = [
            (class_indices[labels[each.label]], np.asarray(each.image) > 0)
            for each in item.annotations
            if each.label < len(labels) and labels[each.label] in class_indices
        ]
        found[f"{item.id}.png"] = painted(parts, MASKS[f"{item.id}.png"].shape)
    assert found.keys() == MASKS.keys()
    for file, mask in MASKS.items():
        assert (found[file] == mask).all()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            [SegmentClass(0, "a", (1, 1, 1)), SegmentClass(1, "b", (1, 1, 1))],
            "classes 0 and 1 have the same colour #010101",
        ),
        (
            [SegmentClass(0, "background", (1, 1, 1))],
            "does not support the name 'background'; choose",
        ),
        ([SegmentClass(0, "a", (0, 0, 0))], "class 0: this format reserves the colour #000000"),
        ([SegmentClass(0, " a", (1, 1, 1))], "does not support the name ' a'; choose another"),
        (
            [SegmentClass(0, "a:b", (1, 1, 1))],
            "class 0: this format does not support the name 'a:b'",
        ),
        ([SegmentClass(0, "#a", (1, 1, 1))], "does not support the name '#a'"),
        ([SegmentClass(0, "a\n", (1, 1, 1))], "does not support the name"),
        (numbered_classes(255), "255 classes: this format supports at most 254"),
    ],
)
def test_classes_that_cannot_be_held_are_refused(classes: list[SegmentClass], message: str) -> None:
    with pytest.raises(UserError, match=message):
        label_map(classes)
