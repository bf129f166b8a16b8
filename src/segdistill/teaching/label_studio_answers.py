"""Answers from the JSON that Label Studio exports (https://labelstud.io/guide/export)."""

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.json_files import as_kind
from segdistill.model.description import Byte
from segdistill.teaching.answer_records import (
    KnownImages,
    Reading,
    SkippedRecordError,
    check_shape,
    named_answer,
)
from segdistill.teaching.answers import Answer, Region, Side, Stroke
from segdistill.teaching.areas import (
    middle_of_box,
    polygon_of,
    region_of_runs,
    region_of_shape,
)
from segdistill.teaching.run_lengths import brush_runs
from segdistill.teaching.session import TaughtImage

FIX = "in Label Studio, choose Export and then JSON (not JSON-MIN)"
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded files."""

ELLIPSE_CORNERS = 64
Percent = Annotated[float, Meta(ge=-1000, le=1000)]
"""Of the width or height of an image; drawings may reach beyond it."""


class _Place(msgspec.Struct, rename="camel"):
    """Where something was drawn; which fields there are depends on its kind."""

    x: Percent | None = None
    y: Percent | None = None
    width: Percent | None = None
    height: Percent | None = None
    rotation: Annotated[float, Meta(ge=-3600, le=3600)] = 0.0
    radius_x: Percent | None = None
    radius_y: Percent | None = None
    points: list[tuple[Percent, Percent]] | None = None
    rle: list[Byte] | None = None


class _Result(msgspec.Struct):
    type: str
    id: str | int = ""
    value: dict[str, Any] = msgspec.field(default_factory=dict)
    original_width: Side | None = None
    original_height: Side | None = None
    image_rotation: float | None = 0

    @property
    def labels(self) -> list[str]:
        """The names of its classes; none for choices, texts and ratings about a place."""
        given = self.value.get(self.type) if self.type.endswith("labels") else None
        return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


class _Annotation(msgspec.Struct):
    result: list[_Result]
    was_cancelled: bool | None = False
    created_at: str | None = None


class _Task(msgspec.Struct):
    data: dict[str, Any]
    annotations: list[_Annotation]
    id: int | str = ""
    file_upload: str | None = None


def read_label_studio(plain: Any, images: KnownImages, path: str) -> Reading:
    """Read answers from tasks: a click for each key point, a region for everything else drawn.

    Of a rectangle, the middle is taken. Predictions are not read: no person has confirmed them.

    Args:
        plain: content of the file.
        images: the images.
        path: the file, for errors.

    Raises:
        UserError: the content or a result is malformed; the message names it.
    """
    tasks = as_kind(plain, list[_Task], name=path, what="tasks with annotations", fix=FIX)
    reading = Reading(path)
    for number, task in enumerate(tasks, start=1):
        where = f"task {task.id or number}"
        with reading.record(where):
            if not task.annotations:
                raise SkippedRecordError("has no annotations that a person submitted")
            image = images.find(*_image_names(task))
            for annotation in task.annotations:
                with reading.record(where):
                    _read_annotation(annotation, image, reading, where)
    return reading


def _read_annotation(
    annotation: _Annotation, image: TaughtImage, reading: Reading, where: str
) -> None:
    if annotation.was_cancelled:
        raise SkippedRecordError("an annotation was cancelled in Label Studio")
    labelled = {each.id for each in annotation.result if each.labels}
    time = _time(annotation.created_at or "")
    for number, result in enumerate(annotation.result, start=1):
        if not result.labels and result.id in labelled:
            continue  # the shape again, once more given with its class
        with reading.record(f"{where}, result {result.id or number}"):
            reading.answers.append(_answer(result, image, time))


def _answer(result: _Result, image: TaughtImage, time: str) -> Answer:
    place = _checked_place(result, image)
    labels = result.labels
    if len(labels) != 1:
        raise SkippedRecordError(f"has {len(labels) or 'no'} classes, where one is needed")
    return named_answer(image, place, labels[0], time=time)


def _checked_place(result: _Result, image: TaughtImage) -> Region | Stroke:
    if result.image_rotation:
        raise SkippedRecordError(f"{image.name} was rotated in Label Studio")
    width = result.original_width or image.width
    height = result.original_height or image.height
    check_shape(image, width, height)
    try:
        place = msgspec.convert(result.value, _Place)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise UserError(f"{error}; correct or remove it") from error
    if place.rle is not None:
        lengths, inside = brush_runs(bytes(place.rle), width * height)
        return region_of_runs(lengths, inside, (height, width), "C")
    return _drawn(place, result.type, image)


def _drawn(place: _Place, kind: str, image: TaughtImage) -> Region | Stroke:
    unit_x, unit_y = image.width / 100, image.height / 100
    if place.points is not None:
        shape = polygon_of([(x * unit_x, y * unit_y) for x, y in place.points])
        return region_of_shape(shape, image.width, image.height)
    if place.x is None or place.y is None:
        raise SkippedRecordError(f"{kind} marks no location")
    x, y = place.x * unit_x, place.y * unit_y
    if place.radius_x is not None and place.radius_y is not None:
        angles = np.arange(ELLIPSE_CORNERS) * (2 * np.pi / ELLIPSE_CORNERS)
        radii = place.radius_x * unit_x, place.radius_y * unit_y
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
        return _turned(corners, (x, y), place.rotation, image)
    if place.width is not None and place.height is not None:
        right, below = place.width * unit_x, place.height * unit_y
        sides = np.array([(0, 0), (right, 0), (right, below), (0, below)])
        return _turned(sides, (x, y), place.rotation, image, middle=True)
    # A click on the far edge still lies in the last pixel.
    x = min(x, math.nextafter(image.width, 0)) if place.x <= 100 else x
    y = min(y, math.nextafter(image.height, 0)) if place.y <= 100 else y
    return Stroke(((x, y),))


def _turned(
    corners: NDArray[np.float64],
    origin: tuple[float, float],
    degrees: float,
    image: TaughtImage,
    *,
    middle: bool = False,
) -> Region:
    """Return the region of corners relative to an origin, turned clockwise around it."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    shape = polygon_of(corners @ np.array([[cosine, sine], [-sine, cosine]]) + origin)
    return region_of_shape(middle_of_box(shape) if middle else shape, image.width, image.height)


def _image_names(task: _Task) -> list[str]:
    """Return what the image of a task may be called, from the links in its data."""
    links = [each for each in task.data.values() if isinstance(each, str) and each]
    # Other data of a task, such as a text, may stand before its image.
    links.sort(key=lambda link: "/" not in link and "." not in link)
    names = []
    for link in [*links, *([task.file_upload] if task.file_upload else [])]:
        try:
            parts = urlsplit(link)
        except ValueError:
            continue
        path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
        folder, slash, base = path.rpartition("/")
        names += [link, path, folder + slash + UPLOAD_PREFIX.sub("", base)]
    if not names:
        raise SkippedRecordError("its data names no image")
    return names


def _time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""
