"""``segdistill export`` as a user runs it."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.cli.conftest import Run
from tests.helpers import edited, write_run_stub

import segdistill as library
from segdistill.model.segmenter import Segmenter


@pytest.fixture
def masks(photos: Path, fitted: Path, segdistill: Run) -> Path:
    assert segdistill("segment", fitted, photos, "--quiet", "--overlay")[0] == 0
    return Path("masks/photos")


def test_every_format(photos: Path, fitted: Path, masks: Path, segdistill: Run) -> None:
    for name, written in {
        "coco": ["photos-coco.json"],
        "yolo": ["photos-yolo", "photos-yolo/data.yaml"],
        "label-studio": ["photos-label-studio.json", "photos-label-studio.xml"],
        "voc": ["photos-voc", "photos-voc/labelmap.txt"],
        "cvat": ["photos-cvat.zip", "photos-cvat.labels.json"],
    }.items():
        status, out, error = segdistill(
            "export", fitted, masks, "--format", name, "--images", photos, "--quiet"
        )
        assert (status, error) == (0, "")
        lines = [f"Export:  6 masks in exports/{written[0]}"]
        lines += [f"Also:    exports/{each}" for each in written[1:]]
        assert [line for line in out.splitlines() if not line.startswith("Small:")] == lines
        assert all((Path("exports") / each).exists() for each in written)
    images = json.loads(Path("exports/photos-coco.json").read_text())["images"]
    assert images[-1]["file_name"] == "picture_4.png"
    assert "more/picture_5.png" in [each["file_name"] for each in images]
    placed = [
        path.relative_to("exports/photos-yolo")
        for path in Path("exports/photos-yolo").rglob("*_5.png")
    ]
    assert len(placed) == 1
    assert placed[0].parts[1] in {"train", "val"}
    assert placed[0].parts[2:] == ("more", "picture_5.png")


def test_names_and_colours_are_those_of_now(
    fitted: Path, masks: Path, segdistill: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fitted / "segmenter.json"
    content = edited(path.read_text())
    content["classes"][1] |= {"name": "meadow", "colour": [1, 2, 3]}
    path.write_text(json.dumps(content))
    assert segdistill("export", fitted, masks, "--format", "yolo", "--quiet")[0] == 0
    data = yaml.safe_load(Path("exports/photos-yolo/data.yaml").read_text())
    assert data["names"] == {0: "class 0", 1: "meadow", 2: "class 2"}
    assert segdistill("export", fitted, masks, "--format", "voc", "--quiet")[0] == 0
    with Image.open("exports/photos-voc/SegmentationClass/picture_0.png") as picture:
        palette = picture.getpalette()
    assert palette is not None
    assert palette[6:9] == [1, 2, 3]


def test_masks_of_another_number_of_classes(
    fitted: Path, photos: Path, masks: Path, segdistill: Run
) -> None:
    assert segdistill("recluster", fitted, "--classes", 2, "--quiet")[0] == 0
    status, out, error = segdistill("export", fitted, masks, "--format", "coco")
    assert (status, out) == (2, "")
    assert error == (
        "segdistill export: masks/photos: the masks have 3 classes, but the run now has 2; write"
        f" them again: segdistill segment {fitted} IMAGES --out masks/photos --overwrite\n"
    )
    export = ("export", fitted, masks, "--format", "coco", "--images", photos)
    hint = segdistill(*export)[2].rpartition("again: ")[2]
    assert segdistill(*shlex.split(hint)[1:], "--quiet")[0] == 0
    assert segdistill(*export, "--quiet")[0] == 0
    # As many classes, but other ones.
    assert segdistill("recluster", fitted, "--undo", "--quiet")[0] == 0
    assert segdistill("classes", fitted, "--merge", 0, 1, "--quiet")[0] == 0
    error = segdistill(*export)[2]
    assert f"; write them again: segdistill segment {fitted} {photos} --out " in error


def test_mistakes_are_one_line(photos: Path, fitted: Path, masks: Path, segdistill: Run) -> None:
    coco = ["--format", "coco"]
    mistakes: list[tuple[list[object], str]] = [
        ([fitted, masks], "--format is missing: one of coco, yolo, label-studio, voc, cvat, geo"),
        ([fitted, "nowhere", *coco], "nowhere: no such folder; give the output of"),
        ([fitted, photos, *coco], "photos: no classes.json found; pass the output"),
        (["nowhere", masks, *coco], "nowhere: no such run folder"),
        ([fitted, masks, *coco, "--images", "nowhere"], "nowhere: no such file or folder"),
        ([fitted, masks, *coco, "--min-area", 0], "--min-area 0: must be at least 1"),
        ([fitted, masks, *coco, "--copy-images"], "--copy-images: not supported by"),
        ([fitted, masks, "--format", "voc", "--copy-images"], "needs the segmented images; add"),
        ([fitted, masks, "--format", "label-studio"], "label-studio: needs the segmented"),
        ([fitted, masks, "--format", "yolo", "--regions", "class"], "--regions: not supported"),
        ([fitted, masks, "--format", "geojson", "--images", photos], "none of the 6 masks"),
    ]
    for arguments, message in mistakes:
        status, out, error = segdistill("export", *arguments, "--quiet")
        assert (status, out) == (2, "")
        assert message in error
        assert error.count("\n") == 1
    assert not Path("exports").exists() or not any(Path("exports").iterdir())
    status, _, error = segdistill("export", fitted, masks, "--format", "tfrecord")
    assert status == 2
    assert error.startswith("segdistill export: --format tfrecord: must be one of 'coco', 'yolo'")


def test_nothing_is_overwritten_unasked(fitted: Path, masks: Path, segdistill: Run) -> None:
    command = ["export", fitted, masks, "--format", "coco", "--out", "mine.json", "--quiet"]
    Path("mine.json").write_text("mine")
    status, _, error = segdistill(*command)
    assert status == 2
    assert "mine.json: already exists; add --overwrite or choose another --out\n" in error
    assert Path("mine.json").read_text() == "mine"
    assert segdistill(*command, "--overwrite")[0] == 0
    assert json.loads(Path("mine.json").read_text())["images"]


def test_damaged_masks_are_named(fitted: Path, masks: Path, segdistill: Run) -> None:
    (masks / "picture_1.png").write_bytes(b"damaged")
    command = ["export", fitted, masks, "--format", "coco", "--quiet"]
    status, _, error = segdistill(*command, "--strict")
    assert status == 2
    assert "masks/photos/picture_1.png: cannot be read as labels" in error
    status, out, _ = segdistill(*command)
    assert status == 0
    assert out.startswith("Skipped: masks/photos/picture_1.png: cannot be read as labels")
    assert "Export:  5 masks in exports/photos-coco.json\n" in out


def test_from_python(photos: Path, fitted: Path, masks: Path) -> None:
    done = library.export_masks(
        Segmenter.load(fitted),
        masks,
        "coco",
        "out.json",
        images=[photos],
        polygons=True,
        simplify=0.0,
    )
    assert (done.written, done.skipped, done.path) == (6, [], Path("out.json"))
    annotations = json.loads(done.path.read_text())["annotations"]
    assert all(isinstance(each["segmentation"], list) for each in annotations)
    assert sum(each["area"] for each in annotations) == 6 * 64 * 96
    with pytest.raises(library.UserError, match="unknown setting 'polygon'; did you mean"):
        library.export_masks(fitted, masks, "coco", polygon=True)
    options = library.ExportOptions(regions="pixel")  # type: ignore[arg-type]
    with pytest.raises(library.UserError, match="--regions 'pixel': must be one of 'connected'"):
        library.export_masks(fitted, masks, "coco", options=options)


def test_the_backbone_is_not_needed(fitted: Path, masks: Path, segdistill: Run) -> None:
    content = edited((fitted / "segmenter.json").read_text())
    content["backbone"]["name"] = "gone/elsewhere"
    (fitted / "segmenter.json").write_text(json.dumps(content))
    assert segdistill("export", fitted, masks, "--format", "cvat", "--quiet")[0] == 0


def test_help_is_fast() -> None:
    """Neither torch nor anything else that takes long is imported for it."""
    program = (
        "import sys; from segdistill.cli.main import main\n"
        "try: main(['export', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'scipy', 'rasterio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_georeferenced_image(fitted: Path, segdistill: Run, photos: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    Path("tiles").mkdir()
    with Image.open(photos / "picture_0.png") as picture:
        pixels = np.array(picture)
    transform = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000)
    height, width = pixels.shape[:2]
    with rasterio.open(
        "tiles/a.tif", "w", "GTiff", width, height, 3, "EPSG:32632", transform, "uint8"
    ) as image:
        image.write(pixels.transpose(2, 0, 1))
    assert segdistill("segment", fitted, "tiles", "--overlay", "--quiet")[0] == 0
    assert Path("masks/tiles/a.overlay.tif").exists()
    command = ["export", fitted, "masks/tiles", "--format", "geojson"]
    status, out, error = segdistill(*command, "--images", "tiles")
    assert (status, "overlay" in out + error) == (0, False)
    assert "Export:  1 masks" in out
    features = json.loads(Path("exports/tiles-geojson.geojson").read_text())["features"]
    assert {each["properties"]["source"] for each in features} == {"a.tif"}
    assert sum(each["properties"]["pixels"] for each in features) == height * width


def test_options_are_named_as_they_are_typed(photos: Path, segdistill: Run) -> None:
    write_run_stub(photos.parent / "run")
    status, out, error = segdistill("export", "run", "masks", "--format", "coco", "--min-area", "x")
    assert (status, out) == (2, "")
    assert error.startswith("segdistill export: --min-area x: must be a whole number\n")
