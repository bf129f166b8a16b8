"""Exporting a folder where something is amiss."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.export.exporting import (
    CLASSES,
    PATTERN,
    Mask,
    export,
    in_masks,
    random_mask,
    write_images,
    write_masks,
)

from segdistill.errors import UserError
from segdistill.export import folder
from segdistill.export.folder import export_folder
from segdistill.export.format import JsonListWriter
from segdistill.export.masks import MaskFile, read_mask
from segdistill.export.options import FormatName
from segdistill.inference.mask_classes import mask_classes, write_classes
from segdistill.model.class_edits import merged
from segdistill.model.description import numbered_classes
from segdistill.prefetch import worker_threads

MASKS = {"a.png": PATTERN, "b.png": random_mask(0), "more/c.png": random_mask(1)}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks", MASKS)


def test_damaged_masks_are_skipped_and_named(masks: Path, tmp_path: Path) -> None:
    (masks / "b.png").write_bytes((masks / "b.png").read_bytes()[:60])
    Image.fromarray(np.full((3, 3), 7, np.uint8)).save(masks / "d.png")
    Image.new("RGB", (3, 3), (9, 0, 0)).save(masks / "e.png")
    (masks / "f.png").symlink_to("nowhere.png")
    (masks / "a.overlay.jpg").write_bytes(b"not a mask")
    done = export("coco", masks, tmp_path / "out.json")
    assert done.written == 2
    reasons = [each.reason for each in done.skipped]
    assert [reason.split(":")[0] for reason in reasons] == [
        str(masks / f"{letter}.png") for letter in "bdef"
    ]
    assert "cannot be read as labels" in reasons[0]
    assert reasons[1].endswith("contains the value 7, but the masks have 3 classes")
    assert "not one channel of class indices" in reasons[2]
    assert reasons[3].endswith("a broken link")
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert [each["file_name"] for each in images] == ["a.png", "more/c.png"]
    with pytest.raises(UserError, match=r"b\.png: cannot be read"):
        export("coco", masks, tmp_path / "new.json", strict=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "out.json"]


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_what_a_killed_export_left_is_removed(
    masks: Path, tmp_path: Path, name: FormatName
) -> None:
    out = tmp_path / "out" / "a.json" if name == "coco" else tmp_path / "out"
    folder = out.parent if name == "coco" else out / "images" / "train"
    folder.mkdir(parents=True)
    (folder / ".a-0123abcd.part.png").symlink_to(masks / "a.png")
    (folder / ".a-0123abcd.part.txt").touch()
    images = write_images(tmp_path / "images", MASKS)
    export(name, masks, out, images=images, overwrite=True)
    assert not list((tmp_path / "out").rglob(".*"))
    assert (masks / "a.png").exists()


def test_nothing_is_written_if_no_mask_can_be_exported(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", {"a.png": PATTERN})
    (masks / "a.png").write_bytes(b"")
    for name, out in (("coco", "out.json"), ("cvat", "out.zip"), ("yolo", "out"), ("voc", "out")):
        with pytest.raises(UserError, match="the only mask cannot be exported: "):
            export(name, masks, tmp_path / out)  # type: ignore[arg-type]
        assert [path.name for path in tmp_path.iterdir()] == ["masks"]


def test_images_are_matched_and_measured(masks: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", {"a.png": PATTERN, "b.png": PATTERN})
    done = export("coco", masks, tmp_path / "out.json", images)
    assert done.written == 1
    assert [each.reason for each in done.skipped] == [
        (
            f"{images / 'b.jpg'}: 9 x 6 pixels, but its mask has 41 x 30;"
            " pass the images that were segmented"
        ),
        f"{masks / 'more' / 'c.png'}: no image with the same name found in --images",
    ]


def test_images_on_their_side_have_upright_masks(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", {"a.png": PATTERN})
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    height, width = PATTERN.shape
    Image.new("RGB", (height, width)).save(tmp_path / "images" / "a.jpg", exif=exif)
    assert export("coco", masks, tmp_path / "out.json", tmp_path / "images").skipped == []


def test_mistakes_in_what_is_given(masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    images = write_images(tmp_path / "images", {"other.png": PATTERN})
    with pytest.raises(UserError, match=r"images: no images found for the 3 masks"):
        export("coco", masks, out, images)
    with pytest.raises(UserError, match="the masks have 3 classes, but the run now has 5; write"):
        export("coco", masks, out, classes=numbered_classes(5))
    empty = write_masks(tmp_path / "empty", {})
    with pytest.raises(UserError, match="empty: no masks found"):
        export("coco", empty, out)
    for content, message in (
        ("{", "cannot be read"),
        ("{}", "does not describe classes of masks"),
        ("[]", "contains no classes"),
        ("[3]", "does not describe classes of masks"),
        (
            '[{"name": "sky"}]',
            "does not describe classes of masks .*field `index`",
        ),
        ("3", "does not describe classes of masks"),
    ):
        (empty / "classes.json").write_text(content)
        with pytest.raises(UserError, match=rf"classes\.json: {message}"):
            export("coco", empty, out)
    (empty / "classes.json").unlink()
    with pytest.raises(UserError, match=r"empty: no classes\.json found"):
        export("coco", empty, out)


def test_hidden_classes_are_left_out_and_numbers_close_up(masks: Path, tmp_path: Path) -> None:
    classes = [replace(CLASSES[0], hidden=True), *CLASSES[1:]]
    export("coco", masks, tmp_path / "out.json", regions="class", classes=classes)
    content = json.loads((tmp_path / "out.json").read_text())
    assert [(each["id"], each["name"]) for each in content["categories"]] == [
        (1, CLASSES[1].name),
        (2, CLASSES[2].name),
    ]
    areas = {each["category_id"]: each["area"] for each in content["annotations"][:2]}
    assert areas == {1: (PATTERN == 1).sum(), 2: (PATTERN == 2).sum()}
    export("voc", masks, tmp_path / "voc", classes=classes)
    with Image.open(tmp_path / "voc" / "SegmentationClass" / "b.png") as picture:
        numbers = np.array(picture)
    assert (numbers == np.array([255, 1, 2])[MASKS["b.png"]]).all()
    with pytest.raises(UserError, match="all classes are hidden"):
        export(
            "coco", masks, tmp_path / "new.json", classes=[replace(c, hidden=True) for c in classes]
        )


def test_masks_of_other_classes_are_refused_whatever_their_number(
    masks: Path, tmp_path: Path
) -> None:
    one, other = merged(numbered_classes(4), [1, 2]), merged(numbered_classes(4), [0, 1])
    out = tmp_path / "out.json"
    with pytest.raises(UserError, match="merged or split after the masks were written; write"):
        export("coco", masks, out, classes=one)
    write_classes(masks, in_masks(one), np.zeros(3, np.int64))
    for classes in (CLASSES, other):
        with pytest.raises(UserError, match="merged or split after"):
            export("coco", masks, out, classes=classes)
    assert export("coco", masks, out, classes=one).written == 3


def test_masks_of_another_clustering_are_refused(masks: Path, tmp_path: Path) -> None:
    # As many classes, of as many clusters, but the clusters lie elsewhere.
    anew = mask_classes(CLASSES, torch.eye(8)[:3].flip(0))
    with pytest.raises(UserError, match="the run got other classes after the masks were written"):
        export_folder(masks, anew, "coco", tmp_path / "out.json")
    rows = json.loads((masks / "classes.json").read_text())
    for row in rows:
        del row["centres"]  # as by earlier versions
    (masks / "classes.json").write_text(json.dumps(rows))
    assert export_folder(masks, anew, "coco", tmp_path / "out.json").written == 3


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        ("coco", "out.txt", r"out\.txt: must end in \.json"),
        ("geojson", "out.shp", r"out\.shp: must end in \.geojson or \.json"),
        ("cvat", "masks.zip/", "is a folder; this format needs a file"),
        ("voc", "file", "is a file; this format needs a folder"),
        ("yolo", "masks/yolo", "is inside the mask folder"),
        ("coco", "masks/coco.json", "is inside the mask folder"),
        ("coco", "there.json", r"there\.json: already exists; add --overwrite"),
        ("label-studio", "config.json", r"config\.xml: already exists; add --overwrite"),
        ("yolo", "full", "full: is not empty; add --overwrite"),
        ("coco", "file/out.json", "a file exists where a folder is needed"),
    ],
)
def test_places_that_will_not_do(
    masks: Path, tmp_path: Path, name: str, out: str, message: str
) -> None:
    images = write_images(tmp_path / "images", MASKS, ".png")
    (tmp_path / "masks.zip").mkdir()
    (tmp_path / "full").mkdir()
    for file in ("file", "there.json", "config.xml", "full/note.txt"):
        (tmp_path / file).write_text("mine")
    before = sorted(path for path in tmp_path.rglob("*"))
    if name == "geojson":
        images.joinpath("a.tif").touch()
        before.append(images / "a.tif")
    with pytest.raises(UserError, match=message):
        export(name, masks, tmp_path / out, images)  # type: ignore[arg-type]
    assert sorted(path for path in tmp_path.rglob("*")) == sorted(before)
    assert (tmp_path / "there.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["coco", "yolo", "label-studio", "voc", "cvat"])
def test_the_same_again_is_the_same(masks: Path, tmp_path: Path, name: str) -> None:
    images = write_images(tmp_path / "images", MASKS)
    suffix = {"coco": ".json", "label-studio": ".json", "cvat": ".zip"}.get(name, "")
    for out in ("one", "two"):
        export(name, masks, tmp_path / out / f"out{suffix}", images)  # type: ignore[arg-type]
    export(name, masks, tmp_path / "two" / f"out{suffix}", images, overwrite=True)  # type: ignore[arg-type]
    contents = [
        {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*.*")}
        for out in ("one", "two")
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) >= 1


def test_masks_are_read_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many masks there are, few lie in memory."""
    masks = write_masks(tmp_path / "masks", {f"{n:03}.png": PATTERN for n in range(200)})
    read, ahead = [], []

    def counted_read(file: MaskFile, classes: int) -> Mask:
        read.append(file)
        return read_mask(file, classes)

    def counted_add(writer: JsonListWriter, text: str) -> None:
        ahead.append(len(read))
        add(writer, text)

    add = JsonListWriter.add
    monkeypatch.setattr(folder, "read_mask", counted_read)
    monkeypatch.setattr(JsonListWriter, "add", counted_add)
    export("coco", masks, tmp_path / "out.json", regions="class")
    # Three annotations a mask; the images come last.
    most = max(seen - number // 3 for number, seen in enumerate(ahead[: 3 * 200]))
    assert most <= 3 * worker_threads() + 1
