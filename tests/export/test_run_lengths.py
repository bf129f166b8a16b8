"""Run-length encodings against the formats' own libraries."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from label_studio_converter.brush import decode_rle
from numpy.typing import NDArray
from pycocotools import mask as coco_masks
from tests.export.exporting import Mask

from segdistill.export.regions import find_regions
from segdistill.export.run_lengths import Counts, brush_bytes, coco_counts, compressed_counts

Pixels = NDArray[np.bool_]
Frame = tuple[int, int, int, int]

pixels_inside = arrays.arrays(
    np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=8)
).filter(np.any)
small_masks = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0, 1, 2, 255]),
)
frames = st.tuples(*[st.integers(0, 3)] * 4)


def whole(pixels: Pixels, frame: Frame) -> Pixels:
    """Put pixels into an image, with so many rows above and below, and columns left and right."""
    above, below, left, right = frame
    return np.pad(pixels, ((above, below), (left, right)))


@settings(deadline=None)
@given(small_masks)
@example(np.zeros((1, 1), np.uint8))
@example(np.full((2, 2), 255, np.uint8))
@example(np.repeat(np.arange(4, dtype=np.uint8), 70_000).reshape(-1, 400))
def test_coco_run_lengths_are_those_of_pycocotools(mask: Mask) -> None:
    for connected in (True, False):
        regions = find_regions(mask, connected=connected)
        texts = compressed_counts(coco_counts(regions.numbers, len(regions.classes)))
        assert len(texts) == len(regions.classes)
        for number, text in enumerate(texts, start=1):
            pixels = np.asfortranarray(regions.numbers == number).astype(np.uint8)
            assert text == coco_masks.encode(pixels)["counts"].decode()


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=12), max_size=4))
def test_any_lengths_are_compressed_as_pycocotools_does(regions: list[list[int]]) -> None:
    # It counts in 32 bits, so that the sum may not be more.
    regions = [[count % (2**31 // len(counts)) for count in counts] for counts in regions]
    starts = np.cumsum([0, *map(len, regions)])
    values = np.array([count for counts in regions for count in counts], np.int64)
    texts = compressed_counts(Counts(values, starts))
    for text, counts in zip(texts, regions, strict=True):
        size = sum(counts)
        theirs = coco_masks.frPyObjects({"size": [1, size], "counts": counts}, 1, size)
        assert text == theirs["counts"].decode()


@settings(deadline=None)
@given(pixels_inside, frames)
@example(np.ones((1, 1), bool), (0, 0, 0, 0))
@example(np.ones((130, 130), bool), (0, 5, 0, 0))
def test_label_studio_decodes_what_went_in(pixels: Pixels, frame: Frame) -> None:
    image = whole(pixels, frame)
    encoded = brush_bytes(pixels, frame[0], frame[2], image.shape)
    decoded = decode_rle(list(encoded)).reshape(*image.shape, 4)
    assert (decoded == np.where(image, 255, 0)[:, :, None]).all()


@pytest.mark.parametrize("length", [2, 4, 64, 16384, 16385, 32768])
def test_runs_at_the_limits_of_each_length(length: int) -> None:
    pixels = np.zeros((1, length + 1), bool)
    pixels[0, :length] = True
    decoded = decode_rle(list(brush_bytes(pixels, 0, 0, pixels.shape)))
    assert (decoded.reshape(-1, 4)[:, 3] == pixels[0] * 255).all()
