"""Targets: encodings of masks, decoded again by the libraries of their formats."""

from pathlib import Path

import numpy as np
import shapely
from label_studio_converter.brush import decode_rle
from pycocotools import mask as coco_masks

from segdistill.export.polygons import find_shapes, without_holes
from segdistill.export.regions import brush_bytes, coco_counts, find_regions, region_runs
from tests.export.exporting import Mask, filled
from tests.fuzz.target import Target

MOST_SIDE = 40


def encodings() -> list[Target]:
    """Return the targets."""
    return [
        Target("run_lengths", _run_lengths, _mask_seeds, errors=(), most=600),
        Target("polygons", _polygons, _mask_seeds, errors=(), most=300),
    ]


def _mask_of(content: bytes) -> Mask:
    """Return a mask whose width is the first byte; few classes, so that regions are larger."""
    width = content[0] % MOST_SIDE + 1 if content else 1
    values = np.frombuffer(content[1:] or b"\0", np.uint8)
    rows = np.resize(values, (-(-len(values) // width), width))
    return np.array([0, 1, 2, 254, 255], np.uint8)[rows % 5]


def _run_lengths(content: bytes, folder: Path) -> None:
    mask = _mask_of(content)
    for connected in (False, True):
        regions = find_regions(mask, connected=connected)
        count = len(regions.classes)
        by_column = region_runs(regions.numbers.T.ravel(), count)
        by_row = region_runs(regions.numbers.ravel(), count)
        for number, (columns, rows) in enumerate(zip(by_column, by_row, strict=True), start=1):
            pixels = regions.numbers == number
            theirs = coco_masks.encode(np.asfortranarray(pixels).astype(np.uint8))
            assert coco_counts(columns, mask.size) == theirs["counts"].decode()
            if number <= 3:  # its decoder is slow
                decoded = decode_rle(list(brush_bytes(rows, mask.size))).reshape(*mask.shape, 4)
                assert (decoded == np.where(pixels, 255, 0)[:, :, None]).all()


def _polygons(content: bytes, folder: Path) -> None:
    mask = _mask_of(content)
    regions = find_regions(mask, connected=True)
    shapes = find_shapes(mask, connected=True)
    assert [shape.area for shape in shapes] == regions.areas.tolist()
    for number, shape in enumerate(shapes[:20], start=1):
        region = regions.numbers == number
        assert shape.geometry.is_valid
        joined = without_holes(shape.geometry)
        assert (filled([joined.astype(int)], mask.shape) == region).all()
        assert shapely.Polygon(joined).area == region.sum()
    for tolerance in (1.0, 3.0):
        simple = [each.geometry for each in find_shapes(mask, connected=True, simplify=tolerance)]
        assert shapely.is_valid(simple).all()
        assert shapely.coverage_is_valid(simple)
    classes = [each.class_index for each in find_shapes(mask, connected=False)]
    assert classes == np.unique(mask[mask != 255]).tolist()


def _mask_seeds() -> list[bytes]:
    nest = np.zeros((5, 9), np.uint8)
    nest[1:-1, 1:-1] = 1
    nest[2, 2:-1:2] = 2
    random = np.random.default_rng(0).integers(0, 5, 90, np.uint8).tobytes()
    return [b"\x08" + nest.tobytes(), b"\x09" + random, b"\x00\x04\x03"]
