"""Answers from COCO annotations (https://cocodataset.org/#format-data)."""

from typing import Annotated, Any

import msgspec
import numpy as np
import shapely
from msgspec import Meta

from segdistill.errors import UserError
from segdistill.json_files import as_kind
from segdistill.teaching.answer_records import (
    KnownImages,
    Reading,
    SkippedRecordError,
    check_shape,
    named_answer,
)
from segdistill.teaching.answers import Answer, Region, Run, Side
from segdistill.teaching.areas import (
    LARGEST_NUMBER,
    middle_of_box,
    polygon_of,
    region_of_runs,
    region_of_shape,
)
from segdistill.teaching.run_lengths import coco_lengths
from segdistill.teaching.session import TaughtImage

Id = int | str
Box = Annotated[list[float], Meta(max_length=4)]
Outline = Annotated[list[float], Meta(max_length=10**6)]


class _RunLengths(msgspec.Struct):
    size: tuple[Side, Side]
    counts: str | list[Run]


class _Image(msgspec.Struct):
    id: Id
    file_name: str
    width: Side | None = None
    height: Side | None = None


class _Category(msgspec.Struct):
    id: Id
    name: str


class _Annotation(msgspec.Struct):
    image_id: Id
    category_id: Id
    id: Id = ""
    segmentation: list[Outline] | _RunLengths | None = None
    bbox: Box | None = None


class _Coco(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(plain: Any, images: KnownImages, path: str) -> Reading:
    """Read answers from COCO annotations: a region for each segmentation or bounding box.

    Of a bounding box without a segmentation, the middle is taken.

    Args:
        plain: content of the file.
        images: the images.
        path: the file, for errors.

    Raises:
        UserError: the content or an annotation is malformed; the message names it.
    """
    coco = as_kind(
        plain,
        _Coco,
        name=path,
        what="annotations in COCO's format",
        fix="export them again as COCO instances",
    )
    files = {each.id: each for each in coco.images}
    names = {each.id: each.name for each in coco.categories}
    reading = Reading(path)
    for number, each in enumerate(coco.annotations, start=1):
        with reading.record(f"annotation {each.id or number}"):
            reading.answers.append(_answer(each, files, names, images))
    return reading


def _answer(
    annotation: _Annotation, files: dict[Id, _Image], names: dict[Id, str], images: KnownImages
) -> Answer:
    file, name = files.get(annotation.image_id), names.get(annotation.category_id)
    if file is None or name is None:
        missing = (
            f"image {annotation.image_id}" if file is None else f"category {annotation.category_id}"
        )
        raise UserError(f"names {missing}, which the file does not contain; add or correct it")
    image = images.find(file.file_name)
    width, height = file.width or image.width, file.height or image.height
    check_shape(image, width, height)
    return named_answer(image, _region(annotation, image, width, height), name)


def _region(annotation: _Annotation, image: TaughtImage, width: int, height: int) -> Region:
    segmentation = annotation.segmentation
    if isinstance(segmentation, _RunLengths):
        check_shape(image, segmentation.size[1], segmentation.size[0])
        lengths = coco_lengths(segmentation.counts)
        inside = np.arange(len(lengths)) % 2 == 1
        return region_of_runs(lengths, inside, segmentation.size, "F")
    if segmentation:
        if any(len(each) % 2 for each in segmentation):
            raise UserError("an outline with an odd number of coordinates; correct or remove it")
        outlines = [list(zip(each[::2], each[1::2], strict=True)) for each in segmentation]
        shape = shapely.union_all([polygon_of(each) for each in outlines])
        return region_of_shape(shape, width, height)
    if annotation.bbox:
        return region_of_shape(_middle(annotation.bbox), width, height)
    raise SkippedRecordError("has neither a segmentation nor a bounding box")


def _middle(bbox: list[float]) -> Any:
    if len(bbox) != 4 or not all(abs(each) <= LARGEST_NUMBER for each in bbox):
        raise UserError("bbox is not left, top, width and height in pixels; correct or remove it")
    left, top, width, height = bbox
    return middle_of_box(shapely.box(left, top, left + width, top + height))
