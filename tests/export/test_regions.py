"""Run-length encodings against the formats' own libraries."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from label_studio_converter.brush import decode_rle
from pycocotools import mask as coco_masks
from tests.export.exporting import Mask, small_masks

from segdistill.export.regions import brush_bytes, coco_counts, find_regions, region_runs


@settings(deadline=None)
@given(small_masks)
@example(np.zeros((1, 1), np.uint8))
@example(np.full((2, 2), 255, np.uint8))
@example(np.ones((130, 130), np.uint8))
@example(np.repeat(np.arange(4, dtype=np.uint8), 70_000).reshape(-1, 400))
def test_regions_are_encoded_as_pycocotools_and_label_studio_do(mask: Mask) -> None:
    regions = find_regions(mask, connected=True)
    count = len(regions.classes)
    by_column = region_runs(regions.numbers.T.ravel(), count)
    by_row = region_runs(regions.numbers.ravel(), count)
    for number, (columns, rows) in enumerate(zip(by_column, by_row, strict=True), start=1):
        pixels = regions.numbers == number
        theirs = coco_masks.encode(np.asfortranarray(pixels).astype(np.uint8))
        assert coco_counts(columns, mask.size) == theirs["counts"].decode()
        decoded = decode_rle(list(brush_bytes(rows, mask.size))).reshape(*mask.shape, 4)
        assert (decoded == np.where(pixels, 255, 0)[:, :, None]).all()
    assert len(by_column) == count


@given(st.lists(st.integers(1, 2**31 - 1), min_size=2, max_size=12))
def test_any_lengths_are_compressed_as_pycocotools_does(lengths: list[int]) -> None:
    # It counts in 32 bits, so that the sum may not be more.
    lengths = [1 + length % (2**31 // len(lengths) - 1) for length in lengths]
    pixels = sum(lengths)
    ends = np.cumsum(lengths)
    runs = ends[: len(ends) // 2 * 2].reshape(-1, 2)
    theirs = coco_masks.frPyObjects({"size": [1, pixels], "counts": lengths}, 1, pixels)
    assert coco_counts(runs, pixels) == theirs["counts"].decode()


@pytest.mark.parametrize("length", [2, 4, 64, 16384, 16385, 32768])
def test_runs_at_the_limits_of_each_length(length: int) -> None:
    decoded = decode_rle(list(brush_bytes(np.array([[0, length]]), length + 1)))
    assert decoded.reshape(-1, 4)[:, 3].tolist() == [255] * length + [0]
