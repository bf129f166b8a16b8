"""COCO JSON for object segmentation (https://cocodataset.org/#format-data)."""

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
from segdistill.export.writing import JsonListWriter, LoadedMask, Target, Writer, open_text
from segdistill.model.description import SegmentClass
from segdistill.version import __version__

SUPERCATEGORY = "segment"


@contextlib.contextmanager
def open_coco(target: Target) -> Iterator[Writer]:
    """Yield a writer of one JSON file.

    Annotations are written first and the list of images last, so only one line per image is kept in
    memory.
    """
    with open_text(target.path) as file:
        info = {
            "description": "Unsupervised segmentation",
            "version": f"segdistill {__version__}",
        }
        categories = [
            category(class_index, each) for class_index, each in enumerate(target.classes)
        ]
        file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n')
        file.write('"annotations": [')
        writer = _CocoWriter(target, JsonListWriter(file))
        yield writer
        file.write('\n],\n"images": [')
        images = JsonListWriter(file)
        for line in writer.images:
            images.add(line)
        file.write("\n]}\n")


def category(class_index: int, each: SegmentClass) -> dict[str, Any]:
    """Return a COCO category; ids start at 1, since some programs reserve 0."""
    return {
        "id": class_index + 1,
        "name": each.name,
        "supercategory": SUPERCATEGORY,
        "color": list(each.colour),
    }


class _Annotated(NamedTuple):
    """An image and its annotations as JSON, without opening brackets and ids."""

    entry: str
    annotations: list[str]


class _CocoWriter(Writer):
    def __init__(self, target: Target, annotations: JsonListWriter) -> None:
        self.options = target.options
        self.annotations = annotations
        self.images: list[str] = []

    def convert(self, mask: LoadedMask) -> _Annotated:
        """Return the image and its annotations without ids."""
        connected = self.options.regions != "class"
        find_rows = _with_polygons if self.options.polygons else _with_run_lengths
        rows = find_rows(mask.pixels, connected=connected, options=self.options)
        height, width = mask.pixels.shape
        entry = {"file_name": mask.file.image_name, "width": width, "height": height}
        return _Annotated(json.dumps(entry)[1:], [json.dumps(row)[1:] for row in rows])

    def add(self, converted: _Annotated) -> None:
        """Assign ids to the image and its annotations, and write the annotations."""
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
        _annotation(class_index, {"size": [height, width], "counts": text}, area, box)
        for class_index, text, area, box in zip(
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
        rows.append(_annotation(shape.class_index, segmentation, shape.area, shape.box))
    return rows


def _annotation(
    class_index: int, segmentation: object, area: int, box: tuple[int, int, int, int]
) -> dict[str, Any]:
    return {
        "category_id": class_index + 1,
        "segmentation": segmentation,
        "area": area,
        "bbox": list(box),
        # Crowd regions are ignored in evaluation and in most training; COCO's own 'stuff'
        # annotations are not crowds.
        "iscrowd": 0,
    }
