"""Answers from Label Studio's JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from label_studio_converter.brush import encode_rle
from numpy.typing import NDArray
from tests.export.exporting import (
    CLASSES,
    PATTERN,
    export,
    random_mask,
    write_images,
    write_masks,
)
from tests.teaching.answering import clicks, read, regions

from segdistill.errors import UserError
from segdistill.images.palette import VOID
from segdistill.teaching.answers import Region
from segdistill.teaching.exchange import ImportedAnswers
from segdistill.teaching.run_lengths import brush_runs
from segdistill.teaching.session import TaughtImage

IMAGE = "/data/upload/1/0a1b2c3d-a.png"
RECTANGLE = {"x": 10, "y": 10, "width": 40, "height": 40, "rotation": 0}


def result(
    kind: str, value: dict[str, Any], name: str | None = "sky", **more: Any
) -> dict[str, Any]:
    return {
        "id": f"r{kind}",
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "origin": "manual",
        "value": value if name is None else value | {kind: [name]},
    } | more


def task(*results: dict[str, Any], image: str = IMAGE, **annotation: Any) -> dict[str, Any]:
    return {
        "id": 5,
        "file_upload": image.rpartition("/")[2],
        "data": {"caption": "two ships", "image": image},
        "annotations": [
            {
                "id": 9,
                "completed_by": 1,
                "was_cancelled": False,
                "created_at": "2026-05-31T18:30:00.123456Z",
                "updated_at": "2026-05-31T18:31:00.123456Z",
                "result": list(results),
            }
            | annotation
        ],
        "drafts": [],
        "predictions": [],
        "meta": {},
    }


def read_tasks(folder: Path, *tasks: dict[str, Any]) -> ImportedAnswers:
    return read(folder, list(tasks), name="in.json")


def rectangle_mask(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros((30, 40), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_key_points_are_clicks(tmp_path: Path) -> None:
    points: list[dict[str, Any]] = [
        {"x": 25, "y": 50, "width": 0.5},
        {"x": 100, "y": 100, "width": 0.5},
        {"x": 0, "y": 0},
    ]
    imported = read_tasks(tmp_path, task(*(result("keypointlabels", each) for each in points)))
    found = clicks(imported)
    assert [(image, name) for image, _, _, name in found] == [("a.png", "sky")] * 3
    places = [(x, y) for _, x, y, _ in found]
    np.testing.assert_allclose(places, [(10, 15), (40, 30), (0, 0)])
    answer = imported.answers.answers[0]
    assert (answer.time, answer.digest) == ("2026-05-31T18:30:00+00:00", "d1")


def test_polygons_and_ellipses_are_regions(tmp_path: Path) -> None:
    corners = [[10, 10], [50, 10], [50, 50], [10, 50]]
    ellipse = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20, "rotation": 90}
    imported = read_tasks(
        tmp_path,
        task(
            result("polygonlabels", {"points": corners, "closed": True}),
            result("ellipselabels", ellipse, "sea"),
        ),
    )
    polygon, round_one = (each.inside for each in regions(imported))
    assert (polygon == rectangle_mask(4, 3, 20, 15)).all()
    rows, columns = np.mgrid[:30, :40] + 0.5
    # Its radii of 10 and 6 pixels, turned.
    expected = ((columns - 20) / 6) ** 2 + ((rows - 15) / 10) ** 2 < 1
    assert (round_one != expected).mean() < 0.01
    assert imported.new_classes == ("sky", "sea")


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (0, rectangle_mask(8, 6, 16, 12)),
        # Turned clockwise around its top left corner (20, 15): 16 x 12 becomes 12 x 16 below it.
        (90, rectangle_mask(11, 19, 17, 27)),
        (180, rectangle_mask(8, 6, 16, 12)),
    ],
)
def test_of_a_rectangle_the_middle_is_taken(
    tmp_path: Path, rotation: int, expected: NDArray[np.bool_]
) -> None:
    corner = {"x": 10, "y": 10} if rotation == 0 else {"x": 50, "y": 50}
    value = RECTANGLE | corner | {"rotation": rotation}
    [region] = regions(read_tasks(tmp_path, task(result("rectanglelabels", value))))
    assert (region.inside == expected).all()


def test_a_rectangle_without_a_width_is_one_cell(tmp_path: Path) -> None:
    value = RECTANGLE | {"width": 0}
    [region] = regions(read_tasks(tmp_path, task(result("rectanglelabels", value))))
    [(row, column)] = np.argwhere(region.inside)
    assert 3 <= row < 15
    assert column == 4


def test_shapes_with_labels_beside_them(tmp_path: Path) -> None:
    shape = result("rectangle", RECTANGLE, None, id="one")
    label = result("labels", RECTANGLE, "sky", id="one")
    alone = result("rectangle", RECTANGLE, None, id="two")
    size = result("choices", RECTANGLE, "large", id="one")
    note = result("taxonomy", RECTANGLE | {"taxonomy": [["a", "b"]]}, None, id="one")
    odd = result("rectanglelabels", RECTANGLE | {"rectanglelabels": "sky"}, None, id="odd")
    many = result("rectanglelabels", RECTANGLE | {"rectanglelabels": ["sky", "sea"]}, None)
    imported = read_tasks(tmp_path, task(shape, label, size, note, alone, odd, many))
    assert [each.name for each in imported.answers.answers] == ["sky"]
    assert imported.skipped == (
        "task 5, result two: has no classes, where one is needed",
        "task 5, result odd: has no classes, where one is needed",
        "task 5, result rrectanglelabels: has 2 classes, where one is needed",
    )


@given(
    image=arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 4), st.integers(1, 9), st.just(4)),
        elements=st.sampled_from([0, 0, 0, 90, 128, 255, 255]),
    )
)
def test_brushes_of_any_colour(image: NDArray[np.uint8]) -> None:
    lengths, inside = brush_runs(bytes(encode_rle(image.ravel())), image[..., 0].size)
    assert (np.repeat(inside, lengths) == (image[..., 3] >= 128).ravel()).all()


def test_long_brushes() -> None:
    image = np.zeros((300, 400, 4), np.uint8)
    image[50:250, 100:] = (200, 10, 10, 255)
    lengths, inside = brush_runs(bytes(encode_rle(image.ravel())), 300 * 400)
    assert (np.repeat(inside, lengths) == (image[..., 3] > 0).ravel()).all()


@pytest.mark.parametrize("regions_of", ["connected", "class"])
def test_own_exports_that_a_person_submitted(tmp_path: Path, regions_of: str) -> None:
    masks = {"a b & ü.png": PATTERN, "more/b.png": random_mask(1)}
    folder = write_masks(tmp_path / "masks", masks)
    photos = write_images(tmp_path / "images", masks)
    export("label-studio", folder, tmp_path / "out.json", photos, regions=regions_of)
    tasks = json.loads((tmp_path / "out.json").read_text())
    images = [
        TaughtImage(name.replace("png", "jpg"), mask.shape[1], mask.shape[0], "d")
        for name, mask in masks.items()
    ]
    with pytest.raises(UserError, match="annotations"):
        read(tmp_path, tasks, name="in.json", images=images)
    for each in tasks:
        each["annotations"] = each.pop("predictions")
    imported = read(tmp_path, tasks, name="in.json", images=images)
    assert imported.skipped == ()
    again = {name: np.full(mask.shape, VOID, np.uint8) for name, mask in masks.items()}
    numbers = {each.name: each.index for each in CLASSES}
    for answer in imported.answers.answers:
        assert answer.region is not None
        again[answer.image.replace("jpg", "png")][answer.region.inside] = numbers[answer.name]
    for name, mask in masks.items():
        assert (again[name] == mask).all()


@pytest.mark.parametrize(
    "link",
    [
        IMAGE,
        "a.png",
        "/data/local-files/?d=folder/a.png",
        "/data/local-files/?d=folder%2Fa.png",
        "https://example.org/photos/a.png?token=x/y.png",
        "s3://bucket/photos/a.png",
    ],
)
def test_links_to_an_image(tmp_path: Path, link: str) -> None:
    click = result("keypointlabels", {"x": 25, "y": 50})
    assert clicks(read_tasks(tmp_path, task(click, image=link, id=1))) == [("a.png", 10, 15, "sky")]


def test_uploads_whose_names_were_changed(tmp_path: Path) -> None:
    click = result("keypointlabels", {"x": 25, "y": 50}, original_width=64, original_height=48)
    link = "/data/upload/3/0a1b2c3d-bé_x.jpg"
    [found] = clicks(read_tasks(tmp_path, task(click, image=link)))
    assert found == ('sub folder/bé, "x";.jpg', 16, 24, "sky")


def test_records_that_are_skipped(tmp_path: Path) -> None:
    click = result("keypointlabels", {"x": 25, "y": 50})
    several = task(
        click,
        result("choices", {}, "day"),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        result("polygonlabels", {"points": [[1, 1], [2, 2]], "closed": False}),
        result("keypointlabels", {"x": 25, "y": 50}, image_rotation=90),
        result("keypointlabels", {"x": 25, "y": 50}, original_width=30, original_height=40),
    )
    several["annotations"].append({"result": [click], "was_cancelled": True})
    none = task() | {"annotations": [], "id": 6, "predictions": [{"result": [click]}]}
    other = task(click, image="https://example.org/e.png") | {"id": 7}
    imported = read_tasks(tmp_path, several, none, other)
    assert imported.added == 1
    expected = [
        "task 5, result rchoices: choices marks no location",
        "task 5, result 3: relation marks no location",
        "task 5, result rpolygonlabels: an outline of fewer than three points",
        "task 5, result rkeypointlabels: a.png was rotated in Label Studio",
        "task 5, result rkeypointlabels: a.png is 40 x 30 pixels, but 30 x 40 in the file",
        "task 5: an annotation was cancelled in Label Studio",
        "task 6: has no annotations that a person submitted",
        "task 7: https://example.org/e.png is not among the images",
    ]
    assert len(imported.skipped) == len(expected)
    for found, start in zip(imported.skipped, expected, strict=True):
        assert found.startswith(start)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("keypointlabels", {"x": 101, "y": 50}, r"\(40.4, 15\) lies outside a.png"),
        ("keypointlabels", {"x": -0.1, "y": 50}, r"\(-0.04, 15\) lies outside a.png"),
        ("keypointlabels", {"x": float("nan"), "y": 50}, r"`\$.x`"),
        ("keypointlabels", {"x": "\ud800", "y": 50}, "surrogates not allowed; correct or remove"),
        ("keypointlabels", {"x": "far", "y": 50}, r"got `str` - at `\$.x`"),
        ("rectanglelabels", RECTANGLE | {"x": 500}, "lies outside the image"),
        ("rectanglelabels", RECTANGLE | {"x": float("nan")}, r"`\$.x`; correct or remove"),
        ("polygonlabels", {"points": [[1, 1], [2], [3, 3]]}, r"`\$.points\[1\]`"),
        ("brushlabels", {"format": "rle", "rle": []}, "a truncated brush mask"),
        ("brushlabels", {"format": "rle", "rle": [0, 0, 18, 192, 0, 0, 0]}, "a brush mask"),
        ("brushlabels", {"format": "rle", "rle": [0, 0, 0, 4, *[0] * 9]}, "of another size than"),
        ("brushlabels", {"format": "rle", "rle": [256]}, r"`\$.rle\[0\]`"),
    ],
)
def test_malformed_results(tmp_path: Path, kind: str, value: dict[str, Any], message: str) -> None:
    good = result("keypointlabels", {"x": 25, "y": 50})
    with pytest.raises(
        UserError, match=rf"^{tmp_path}/in.json: task 5, result r{kind}: .*{message}"
    ):
        read_tasks(tmp_path, task(good, result(kind, value)))


def test_brushes_that_are_cut_off() -> None:
    whole = bytes(encode_rle(np.arange(4 * 40 * 30, dtype=np.uint8)))
    for size in range(0, len(whole) - 1, 97):
        with pytest.raises(UserError, match="brush mask"):
            brush_runs(whole[:size], 40 * 30)


def test_names_that_are_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task 5, result rkeypointlabels: a class needs a name"):
        read_tasks(tmp_path, task(result("keypointlabels", {"x": 25, "y": 50}, " ")))


def test_other_exports(tmp_path: Path) -> None:
    smaller = {"image": IMAGE, "label": [RECTANGLE | {"rectanglelabels": ["sky"]}], "id": 5}
    with pytest.raises(
        UserError, match=r"in\.json: .*choose Export and then JSON \(not JSON-MIN\)"
    ):
        read_tasks(tmp_path, smaller)
    assert read_tasks(tmp_path).added == 0


def test_reading_again_adds_nothing(tmp_path: Path) -> None:
    tasks = [task(result("rectanglelabels", RECTANGLE), result("keypointlabels", {"x": 1, "y": 1}))]
    once = read(tmp_path, tasks, name="in.json")
    later = task(*tasks[0]["annotations"][0]["result"], updated_at="2026-06-30T18:31:00Z")
    twice = read(tmp_path, [later], name="in.json", earlier=once.answers)
    assert (twice.added, twice.repeated) == (0, 2)
    assert isinstance(twice.answers.answers[0].region, Region)
