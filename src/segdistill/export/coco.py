"""COCO's JSON for object segmentation (https://cocodataset.org/#format-data)."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.export.options import ExportOptions
from segdistill.export.polygons import without_holes
from segdistill.export.regions import find_regions
from segdistill.export.run_lengths import coco_counts, compressed_counts
from segdistill.export.shapes import find_shapes
from segdistill.export.writing import ReadMask, Target, TextItems, Writer, open_text
from segdistill.model.description import SegmentClass
from segdistill.version import __version__

MAKER = f"segdistill {__version__}"
SUPERCATEGORY = "segment"


@contextlib.contextmanager
def open_coco(target: Target) -> Iterator[Writer]:
    """Yield a writer of one JSON file.

    Annotations come before the list of images, which is whole only when the last mask is done; of
    each image a line is kept until then, and nothing else.
    """
    with open_text(target.path) as file:
        info = {
            "description": "Segments found without labels",
            "version": f"segdistill {__version__}",
        }
        categories = [category(place, each) for place, each in enumerate(target.classes)]
        file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n')
        file.write('"annotations": [')
        writer = _CocoWriter(target, TextItems(file))
        yield writer
        file.write('\n],\n"images": [')
        images = TextItems(file)
        for line in writer.images:
            images.add(line)
        file.write("\n]}\n")


def category(place: int, each: SegmentClass) -> dict[str, Any]:
    """Return a class as COCO has it; its numbers begin at 1, since some programs keep 0."""
    return {
        "id": place + 1,
        "name": each.name,
        "supercategory": SUPERCATEGORY,
        "color": list(each.colour),
    }


class _Annotated(NamedTuple):
    """An image's entry and its annotations, as JSON without their first brackets and numbers."""

    entry: str
    annotations: list[str]


class _CocoWriter(Writer):
    def __init__(self, target: Target, annotations: TextItems) -> None:
        self.options = target.options
        self.annotations = annotations
        self.images: list[str] = []

    def convert(self, mask: ReadMask) -> _Annotated:
        """Return the image and its annotations, yet without numbers."""
        connected = self.options.regions != "class"
        find_rows = _with_polygons if self.options.polygons else _with_run_lengths
        rows = find_rows(mask.pixels, connected=connected, options=self.options)
        height, width = mask.pixels.shape
        entry = {"file_name": mask.file.image_name, "width": width, "height": height}
        return _Annotated(json.dumps(entry)[1:], [json.dumps(row)[1:] for row in rows])

    def add(self, converted: _Annotated) -> None:
        """Number the image and its annotations, and write these."""
        image = len(self.images) + 1
        self.images.append(f'{{"id": {image}, {converted.entry}')
        for row in converted.annotations:
            number = self.annotations.count + 1
            self.annotations.add(f'{{"id": {number}, "image_id": {image}, {row}')


def _with_run_lengths(
    mask: NDArray[np.uint8], *, connected: bool, options: ExportOptions
) -> list[dict[str, Any]]:
    height, width = mask.shape
    regions = find_regions(mask, connected=connected, min_area=options.min_area)
    count = len(regions.classes)
    texts = compressed_counts(coco_counts(regions.numbers, count))
    areas = np.bincount(regions.numbers.ravel(), minlength=count + 1)[1:].tolist()
    boxes = [
        (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        for rows, columns in ndimage.find_objects(regions.numbers)
    ]
    return [
        _annotation(place, {"size": [height, width], "counts": text}, area, box)
        for place, text, area, box in zip(
            regions.classes.tolist(), texts, areas, boxes, strict=True
        )
    ]


def _with_polygons(
    mask: NDArray[np.uint8], *, connected: bool, options: ExportOptions
) -> list[dict[str, Any]]:
    rows = []
    shapes = find_shapes(
        mask, connected=connected, min_area=options.min_area, simplify=options.simplify
    )
    for shape in shapes:
        segmentation = [without_holes(part).ravel().tolist() for part in shape.parts]
        rows.append(_annotation(shape.place, segmentation, shape.area, shape.box))
    return rows


def _annotation(
    place: int, segmentation: object, area: int, box: tuple[int, int, int, int]
) -> dict[str, Any]:
    return {
        "category_id": place + 1,
        "segmentation": segmentation,
        "area": area,
        "bbox": list(box),
        # A crowd is a region that evaluation passes over and most training leaves out; COCO's own
        # regions of 'stuff' are none.
        "iscrowd": 0,
    }
