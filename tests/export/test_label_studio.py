"""Label Studio's predictions, read by its converter."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlparse
from xml.etree import ElementTree as ET

import pytest
from label_studio_converter.brush import decode_from_annotation
from label_studio_converter.utils import parse_config
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
from segdistill.model.description import SegmentClass

MASKS = {"a b & ü.png": PATTERN, "more/b.png": random_mask(1)}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", MASKS)
    return write_masks(tmp_path / "masks", MASKS)


def read_prediction(prediction: dict[str, object], size: tuple[int, int]) -> Mask:
    results = prediction["result"]
    assert isinstance(results, list)
    # The converter takes results as Label Studio exports them: with the value's parts outside.
    flat = [{**each, **each["value"]} for each in results]
    layers = decode_from_annotation("label", flat)
    class_indices = {each.name: each.index for each in CLASSES}
    names = [key.removeprefix("label-").rpartition("-")[0] for key in layers]
    parts = [
        (class_indices[name], layer > 0) for name, layer in zip(names, layers.values(), strict=True)
    ]
    return painted(parts, size)


@pytest.mark.parametrize("regions", [None, "class", "connected"])
def test_its_converter_decodes_the_masks(masks: Path, tmp_path: Path, regions: str | None) -> None:
    out = tmp_path / "out.json"
    export("label-studio", masks, out, tmp_path / "images", regions=regions)
    tasks = json.loads(out.read_text())
    assert len(tasks) == 2
    for task, (name, mask) in zip(tasks, MASKS.items(), strict=True):
        link = urlparse(task["data"]["image"])
        assert link.path == "/data/local-files/"
        assert parse_qs(link.query) == {"d": [str(Path(name).with_suffix(".jpg"))]}
        [prediction] = task["predictions"]
        for each in prediction["result"]:
            assert (each["original_height"], each["original_width"]) == mask.shape
        assert (read_prediction(prediction, mask.shape) == mask).all()
        ids = [each["id"] for each in prediction["result"]]
        assert len(set(ids)) == len(ids)
        if regions != "connected":
            assert len(ids) == len(CLASSES)


def test_its_converter_reads_the_configuration(masks: Path, tmp_path: Path) -> None:
    done = export("label-studio", masks, tmp_path / "out.json", tmp_path / "images")
    assert done.sidecar == tmp_path / "out.xml"
    text = done.sidecar.read_text()
    read = parse_config(text)["label"]
    assert read["type"] == "BrushLabels"
    assert read["to_name"] == ["image"]
    assert read["inputs"] == [{"type": "Image", "value": "image"}]
    assert read["labels"] == [each.name for each in CLASSES]
    labels = ET.fromstring(text).iter("Label")  # noqa: S314 - our own text
    assert [each.get("background") for each in labels] == ["#4682b4", "#804080", "#6b8e23"]


def test_a_prefix_of_ones_own(masks: Path, tmp_path: Path) -> None:
    prefix = "https://example.org/pictures/"
    out = tmp_path / "out.json"
    export("label-studio", masks, out, tmp_path / "images", image_url_prefix=prefix)
    links = [task["data"]["image"] for task in json.loads(out.read_text())]
    assert links == [f"{prefix}a%20b%20%26%20%C3%BC.jpg", f"{prefix}more/b.jpg"]


def test_two_classes_of_one_name_are_refused(masks: Path, tmp_path: Path) -> None:
    classes = [*CLASSES[:2], SegmentClass(2, "sky", (1, 2, 3))]
    with pytest.raises(UserError, match="classes 0 and 2 are both named 'sky'"):
        export("label-studio", masks, tmp_path / "out.json", tmp_path / "images", classes)
    assert not (tmp_path / "out.json").exists()
