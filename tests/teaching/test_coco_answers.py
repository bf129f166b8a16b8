"""Answers from COCO's annotations: as pycocotools and the own exporter write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco_masks
from tests.export.exporting import CLASSES, PATTERN, export, random_mask, small_masks, write_masks
from tests.teaching.answering import read, regions

from segdistill.errors import UserError
from segdistill.images.palette import VOID
from segdistill.teaching.answers import Region
from segdistill.teaching.areas import region_of_runs
from segdistill.teaching.exchange import ImportedAnswers
from segdistill.teaching.run_lengths import coco_lengths
from segdistill.teaching.session import TaughtImage

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Mask = np.ndarray[Any, np.dtype[np.uint8]]


def coco(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    """Return a file about one image, 40 x 30 pixels unless given otherwise."""
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30} | image],
        "categories": [{"id": 3, "name": "sky"}, {"id": 4, "name": "sea"}],
        "annotations": [{"image_id": 7, "category_id": 3} | each for each in annotations],
    }


def read_coco(folder: Path, *annotations: dict[str, Any], **image: Any) -> ImportedAnswers:
    return read(folder, coco(*annotations, **image), name="in.json")


@given(mask=small_masks)
def test_run_lengths_of_pycocotools(mask: Mask) -> None:
    inside = mask == 1
    encoded = coco_masks.encode(np.asfortranarray(inside.astype(np.uint8)))
    lengths = coco_lengths(encoded["counts"].decode())
    assert lengths.sum() == mask.size
    values = np.arange(len(lengths)) % 2 == 1
    assert (np.repeat(values, lengths).reshape(mask.shape, order="F") == inside).all()
    if inside.any():
        assert (region_of_runs(lengths, values, mask.shape, "F").inside == inside).all()


@given(mask=small_masks)
def test_any_text_is_read_or_refused(mask: Mask) -> None:
    text = mask.tobytes().decode("latin-1") + "0P"
    try:
        lengths = coco_lengths(text)
    except UserError as error:
        assert "damaged run lengths" in str(error)  # noqa: PT017
    else:
        assert (lengths >= 0).all()


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("regions_of", ["connected", "class"])
def test_own_exports(tmp_path: Path, polygons: bool, regions_of: str) -> None:
    masks = {"a.png": PATTERN, "more/b.png": random_mask(1)}
    folder = write_masks(tmp_path / "masks", masks)
    export("coco", folder, tmp_path / "out.json", polygons=polygons, regions=regions_of)
    images = [
        TaughtImage(name.replace("png", "jpg"), mask.shape[1], mask.shape[0], "d")
        for name, mask in masks.items()
    ]
    imported = read(tmp_path, (tmp_path / "out.json").read_bytes(), name="in.json", images=images)
    assert imported.skipped == ()
    assert set(imported.new_classes) == {each.name for each in CLASSES}
    again = {name: np.full(mask.shape, VOID, np.uint8) for name, mask in masks.items()}
    numbers = {each.name: each.index for each in CLASSES}
    for answer in imported.answers.answers:
        assert answer.region is not None
        again[answer.image.replace("jpg", "png")][answer.region.inside] = numbers[answer.name]
    for name, mask in masks.items():
        assert (again[name] == mask).all()


def test_large_masks_become_coarse_regions(tmp_path: Path) -> None:
    mask = np.zeros((2000, 3000), np.uint8, order="F")
    mask[500:1500, 600:] = 1
    rle = coco_masks.encode(mask)
    segmentation = {"size": rle["size"], "counts": rle["counts"].decode()}
    lengths = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=0, append=2)), prepend=0)
    outline = [600, 500, 3000, 500, 3000, 1500, 600, 1500]
    annotations: list[dict[str, Any]] = [
        {"segmentation": segmentation},
        {"segmentation": {"size": rle["size"], "counts": lengths.tolist()}},
        {"segmentation": [outline]},
        # The same in two parts, of which one lies partly outside.
        {
            "segmentation": [
                [600, 500, 900, 500, 900, 1500, 600, 1500],
                [*outline[:2], 4000, 500, 4000, 1500, 600, 1500],
            ]
        },
    ]
    images = [TaughtImage("a.png", 3000, 2000, "")]
    file = coco(*annotations, width=3000, height=2000)
    found = regions(read(tmp_path, file, name="in.json", images=images))
    assert len(found) == 4
    assert len(set(found)) == 1
    inside = found[0].inside
    assert inside.shape == (171, 256)
    rows, columns = np.nonzero(inside)
    assert rows.min() / 171 == pytest.approx(0.25, abs=0.01)
    assert (rows.max() + 1) / 171 == pytest.approx(0.75, abs=0.01)
    assert (columns.min(), columns.max()) == (51, 255)
    assert inside.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_what_is_too_small_for_the_grid_becomes_one_cell(tmp_path: Path) -> None:
    mask = np.zeros((2000, 3000), np.uint8, order="F")
    mask[1000, 2400] = 1
    rle = coco_masks.encode(mask)
    annotations: list[dict[str, Any]] = [
        {"segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}},
        {"segmentation": [[2400, 1000, 2401, 1000, 2401, 1001]]},
        {"segmentation": [[2400.5, 1000.5, 2400.5, 1000.5, 2400.5, 1000.5]]},
        {"bbox": [2400, 1000, 1, 1]},
    ]
    images = [TaughtImage("a.png", 3000, 2000, "")]
    file = coco(*annotations, width=3000, height=2000)
    for region in regions(read(tmp_path, file, name="in.json", images=images)):
        assert np.argwhere(region.inside).tolist() == [[85, 204]]


def test_of_a_bounding_box_the_middle_is_taken(tmp_path: Path) -> None:
    [region] = regions(read_coco(tmp_path, {"bbox": [8, 4, 16, 8], "segmentation": []}))
    expected = np.zeros((30, 40), np.bool_)
    expected[6:10, 12:20] = True
    assert (region.inside == expected).all()


def test_images_of_another_size(tmp_path: Path) -> None:
    box = {"bbox": [0, 0, 40, 30]}
    half = regions(read_coco(tmp_path, {"bbox": [0, 0, 20, 15]}, width=20, height=15))
    [whole] = regions(read_coco(tmp_path, box))
    assert half[0].inside.mean() == pytest.approx(whole.inside.mean(), abs=0.05)
    assert regions(read_coco(tmp_path, box, width=None, height=None)) == [whole]
    turned = read_coco(tmp_path, box, width=30, height=40)
    assert turned.added == 0
    assert "annotation 1: a.png is 40 x 30 pixels, but 30 x 40 in the file" in turned.skipped[0]


def test_records_that_are_skipped(tmp_path: Path) -> None:
    file = coco({"id": 11, "bbox": [0, 0, 4, 4]}, {"id": 12}, {"segmentation": [[1, 2, 3, 4]]})
    file["images"].append({"id": "x", "file_name": "e.png"})
    file["annotations"].append({"id": 14, "image_id": "x", "category_id": 4, "bbox": [0, 0, 1, 1]})
    imported = read(tmp_path, file, name="in.json")
    assert (imported.added, imported.new_classes) == (1, ("sky",))
    assert imported.skipped == (
        "annotation 12: has neither a segmentation nor a bounding box",
        "annotation 3: an outline of fewer than three points",
        "annotation 14: e.png is not among the images",
    )


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 8}, "annotation 2: names image 8, which the file does not contain"),
        ({"category_id": 8}, "annotation 2: names category 8, which the file does not contain"),
        ({"bbox": [0, 0, 5]}, "annotation 2: bbox is not left, top, width and height"),
        ({"bbox": [0, 0, 5, float("nan")]}, "annotation 2: bbox is not left"),
        ({"bbox": [99, 0, 5, 5]}, "annotation 2: lies outside the image, which is 40 x 30 pixels"),
        ({"segmentation": [[0, 0, 5, 5, 5, float("inf")]]}, "annotation 2: a coordinate that is"),
        ({"segmentation": [[0, 0, 5, 5, 5]]}, "annotation 2: an outline with an odd number"),
        ({"segmentation": {"size": [30, 40], "counts": [1, 2]}}, "annotation 2: run lengths of 3"),
        ({"segmentation": {"size": [30, 40], "counts": [1200]}}, "annotation 2: a mask without"),
        ({"segmentation": {"size": [30, 40], "counts": []}}, "annotation 2: run lengths of 0"),
        ({"segmentation": {"size": [30, 40], "counts": "é"}}, "annotation 2: damaged run lengths"),
        ({"segmentation": {"size": [30, 40], "counts": ""}}, "annotation 2: damaged run lengths"),
        ({"segmentation": {"size": [30, 40], "counts": [-1, 1201]}}, r"`\$.annotations\[1\]"),
        ({"bbox": ["a", 0, 5, 5]}, r"does not describe annotations .*`\$.annotations\[1\].bbox"),
    ],
)
def test_malformed_annotations(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}/in.json: .*{message}"):
        read_coco(tmp_path, {"bbox": [0, 0, 4, 4]}, annotation)


def test_categories_without_names(tmp_path: Path) -> None:
    file = coco({"bbox": [0, 0, 4, 4]})
    file["categories"][0]["name"] = " "
    with pytest.raises(UserError, match=r"in\.json: annotation 1: a class needs a name"):
        read(tmp_path, file, name="in.json")


def test_later_annotations_come_later(tmp_path: Path) -> None:
    imported = read_coco(tmp_path, {"bbox": [0, 0, 4, 4]}, {"bbox": [0, 0, 4, 4], "category_id": 4})
    assert [each.name for each in imported.answers.answers] == ["sky", "sea"]
    first, second = regions(imported)
    assert first == second
    assert isinstance(first, Region)
