"""COCO JSON for object segmentation (https://cocodataset.org/#format-data)."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.export.format import ExportFormat, JsonListWriter, open_text
from segdistill.export.masks import MaskFile
from segdistill.export.polygons import find_shapes, without_holes
from segdistill.export.regions import coco_counts, find_regions, region_runs
from segdistill.version import __version__


class Coco(ExportFormat):
    """One JSON file.

    Annotations are written first and the list of images last, so only one line per image is kept in
    memory.
    """

    supported_options = frozenset({"regions", "polygons", "min_region", "min_area", "simplify"})
    suffixes = (".json",)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Write the JSON around the annotations."""
        info = {
            "description": "Unsupervised segmentation",
            "version": f"segdistill {__version__}",
        }
        # Ids start at 1, since some programs reserve 0.
        categories = [
            {
                "id": category,
                "name": each.name,
                "supercategory": "segment",
                "color": list(each.colour),
            }
            for category, each in enumerate(self.classes, start=1)
        ]
        self.entries: list[str] = []
        with open_text(self.path) as file:
            file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n')
            file.write('"annotations": [')
            self.annotations = JsonListWriter(file)
            yield
            file.write('\n],\n"images": [')
            images = JsonListWriter(file)
            for entry in self.entries:
                images.add(entry)
            file.write("\n]}\n")

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> tuple[str, list[str]]:
        """Return the image and its annotations as JSON, without opening brackets and ids."""
        find_rows = self._with_polygons if self.options.polygons else self._with_run_lengths
        rows = find_rows(mask, connected=self.options.regions != "class")
        height, width = mask.shape
        entry = {"file_name": file.image_name, "width": width, "height": height}
        return json.dumps(entry)[1:], [json.dumps(row)[1:] for row in rows]

    def add(self, converted: tuple[str, list[str]]) -> None:
        """Assign ids to the image and its annotations, and write the annotations."""
        image = len(self.entries) + 1
        entry, annotations = converted
        self.entries.append(f'{{"id": {image}, {entry}')
        for row in annotations:
            number = self.annotations.count + 1
            self.annotations.add(f'{{"id": {number}, "image_id": {image}, {row}')

    def _with_run_lengths(
        self, mask: NDArray[np.uint8], *, connected: bool
    ) -> Iterator[dict[str, Any]]:
        regions = find_regions(mask, connected=connected)
        columns = regions.numbers.T.ravel()
        for class_index, runs, area, (rows, cols) in zip(
            regions.classes.tolist(),
            region_runs(columns, len(regions.classes)),
            regions.areas.tolist(),
            ndimage.find_objects(regions.numbers),
            strict=True,
        ):
            segmentation = {"size": list(mask.shape), "counts": coco_counts(runs, mask.size)}
            box = [cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start]
            yield _annotation(class_index, segmentation, area, box)

    def _with_polygons(
        self, mask: NDArray[np.uint8], *, connected: bool
    ) -> Iterator[dict[str, Any]]:
        for shape in find_shapes(mask, connected=connected, simplify=self.options.simplify):
            rings = map(without_holes, shapely.get_parts(shape.geometry))
            segmentation = [_plain_numbers(ring.ravel()) for ring in rings]
            left, top, right, bottom = shape.geometry.bounds
            box = _plain_numbers(np.array([left, top, right - left, bottom - top]))
            yield _annotation(shape.class_index, segmentation, shape.area, box)


def _annotation(
    class_index: int, segmentation: object, area: int, box: list[int | float]
) -> dict[str, Any]:
    return {
        "category_id": class_index + 1,
        "segmentation": segmentation,
        "area": area,
        "bbox": box,
        # Crowd regions are ignored in evaluation and in most training; COCO's own 'stuff'
        # annotations are not crowds.
        "iscrowd": 0,
    }


def _plain_numbers(values: NDArray[np.float64]) -> list[int | float]:
    """Return numbers for JSON, whole ones without a decimal point."""
    return [int(value) if value.is_integer() else value for value in values.tolist()]
