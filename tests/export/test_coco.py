"""COCO's JSON, read by pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from tests.export.exporting import (
    CLASSES,
    PATTERN,
    export,
    painted,
    random_mask,
    write_images,
    write_masks,
)

# What pycocotools 2.0 does with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MASKS = {"a.png": PATTERN, "more/b.png": random_mask(1), "void.png": np.full((3, 4), 255, np.uint8)}


def opened(path: Path) -> COCO:
    coco = COCO(path)
    assert coco.dataset.keys() == {"info", "categories", "annotations", "images"}
    return coco


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("regions", ["connected", "class"])
@pytest.mark.parametrize("min_area", [1, 4])
def test_pycocotools_reads_the_same_pixels(
    tmp_path: Path, polygons: bool, regions: str, min_area: int
) -> None:
    folder = write_masks(tmp_path / "masks", MASKS)
    out = tmp_path / "out.json"
    done = export("coco", folder, out, polygons=polygons, regions=regions, min_area=min_area)
    assert (done.written, done.skipped) == (3, [])
    coco = opened(out)
    assert sorted(coco.imgs) == [1, 2, 3]
    for number, (name, mask) in enumerate(MASKS.items(), start=1):
        [image] = coco.loadImgs(number)
        assert image["file_name"] == name
        assert (image["height"], image["width"]) == mask.shape
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=number))
        parts = [(each["category_id"] - 1, coco.annToMask(each) > 0) for each in annotations]
        again = painted(parts, mask.shape)
        assert (again[again != 255] == mask[again != 255]).all()
        if min_area == 1:
            assert (again == mask).all()
        for each, (_, pixels) in zip(annotations, parts, strict=True):
            rows, columns = np.nonzero(pixels)
            left, top, width, height = each["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
            assert each["area"] == len(rows) >= min_area
            assert each["iscrowd"] == 0
            assert isinstance(each["segmentation"], list) == polygons
        if regions == "class" and min_area == 1:
            assert len(annotations) == len(set(mask[mask != 255]))


def test_categories_and_ids(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", MASKS)
    export("coco", folder, tmp_path / "out.json")
    coco = opened(tmp_path / "out.json")
    assert [each["id"] for each in coco.dataset["annotations"]] == list(
        range(1, len(coco.anns) + 1)
    )
    assert [(each["id"], each["name"]) for each in coco.loadCats(coco.getCatIds())] == [
        (1, "sky"),
        (2, "wet road"),
        (3, "Straße & <Weg>"),
    ]
    assert {each["supercategory"] for each in coco.cats.values()} == {"segment"}
    assert coco.cats[1]["color"] == list(CLASSES[0].colour)


def test_images_keep_their_own_names(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", MASKS)
    images = write_images(tmp_path / "images", MASKS, ".JPG")
    export("coco", folder, tmp_path / "out.json", images)
    names = [each["file_name"] for each in opened(tmp_path / "out.json").imgs.values()]
    assert names == ["a.JPG", "more/b.JPG", "void.JPG"]


def test_masks_without_any_region_are_a_valid_file(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", {"void.png": MASKS["void.png"]})
    export("coco", folder, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["annotations"] == []
