"""Targets: pictures as images, labels, ignore masks and depth maps."""

from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from segdistill.decoding.decode import read_picture
from segdistill.decoding.ignore_masks import read_ignored
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.tiff_header import TIFF_STARTS
from segdistill.errors import UserError
from segdistill.images.depth_reading import DepthFormat, read_depth_values
from segdistill.labels.label_files import read_labels
from segdistill.labels.label_pixels import read_label_pixels
from tests.corpus.images import srgb_profile, write_png_16
from tests.fuzz.arrays import npy_seeds, tiff_seeds
from tests.fuzz.target import Target
from tests.fuzz.writing import encoded, written

MOST_PIXELS = 2**18
"""In place of Pillow's own limit, so that a large picture that is allowed is no finding."""

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
PACKINGS: tuple[DepthFormat, ...] = ("numbers", "carla", "tartanair", "float32-rgba")


def pictures() -> list[Target]:
    """Return the targets."""
    return [
        Target("pictures", _picture, picture_seeds, file="image"),
        Target("label_pictures", _labels, picture_seeds, file="image"),
        Target("ignore_masks", _ignored, picture_seeds, file="image"),
        Target("depth_pictures", _depth, picture_seeds, file="image"),
        Target("npy_labels", _npy_labels, npy_seeds, file="labels.npy"),
    ]


def _file(content: bytes, folder: Path) -> Path:
    suffix = "tif" if content.startswith(TIFF_STARTS) else "png"
    path = folder / f"image.{suffix}"
    path.write_bytes(content)
    return path


def _few_pixels() -> AbstractContextManager[object]:
    return patch.object(Image, "MAX_IMAGE_PIXELS", MOST_PIXELS)


def _picture(content: bytes, folder: Path) -> None:
    path = _file(content, folder)
    with _few_pixels():
        picture = read_picture(path)
        ranged = read_picture(path, ImageReading.chosen(None, "0,200"))
    for each in (picture, ranged):
        assert each.pixels.dtype == np.uint8
        assert each.pixels.ndim == 3
        assert each.pixels.shape[2] == 3
        assert each.valid is None or each.valid.shape == each.pixels.shape[:2]


def _labels(content: bytes, folder: Path) -> None:
    path = _file(content, folder)
    with _few_pixels():
        pixels = read_label_pixels(path)
        assert pixels.values.ndim == 2
        assert pixels.values.dtype == np.int64
        labels = read_labels(path)
    assert labels.shape == pixels.values.shape
    assert labels.min() >= 0
    assert labels.max() <= 255


def _ignored(content: bytes, folder: Path) -> None:
    path = _file(content, folder)
    with _few_pixels():
        ignored = read_ignored(path, 12, 16, "photo.jpg")
    assert ignored.shape == (12, 16)
    assert ignored.dtype == np.bool_


def _depth(content: bytes, folder: Path) -> None:
    path = _file(content, folder)
    failed: UserError | None = None
    with _few_pixels():
        for packing in PACKINGS:
            try:
                values = read_depth_values(path, packing)
            except UserError as error:
                failed = error
                assert path.name in str(error)
                continue
            assert values.ndim == 2
            assert values.dtype == np.float64
    if failed is not None:
        raise failed


def _npy_labels(content: bytes, folder: Path) -> None:
    path = folder / "labels.npy"
    path.write_bytes(content)
    pixels = read_label_pixels(path)
    assert pixels.values.ndim == 2
    assert pixels.values.dtype == np.int64


def picture_seeds() -> list[bytes]:
    """Return small pictures of every format and mode that Pillow is likely to meet."""
    grey = Image.fromarray(GREY)
    colour = Image.merge("RGB", [grey, grey.rotate(180), grey])
    opaque = colour.copy()
    opaque.putalpha(grey)
    exif = Image.Exif()
    exif[274] = 6
    palette = colour.quantize(7)
    found = [
        encoded(grey, "PNG"),
        encoded(grey, "PNG", bits=2),
        encoded(colour, "PNG", icc_profile=srgb_profile()),
        encoded(colour, "PNG", transparency=(0, 235, 0)),
        encoded(opaque, "PNG"),
        encoded(grey.convert("LA"), "PNG"),
        encoded(palette, "PNG", transparency=b"\0\xff"),
        encoded(grey.convert("1"), "PNG"),
        encoded(colour, "JPEG", exif=exif),
        encoded(grey, "JPEG"),
        encoded(colour.convert("CMYK"), "JPEG"),
        encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        encoded(colour, "BMP"),
        encoded(colour, "PPM"),
        encoded(opaque, "WEBP", lossless=True),
        encoded(colour, "JPEG2000"),
        encoded(grey, "TIFF", compression="tiff_deflate"),
        encoded(opaque, "TIFF", compression="tiff_lzw"),
        encoded(colour, "TIFF", compression="jpeg"),
        b"P2 3 2 7\n0 1 2 3 4 7\n",
        written("a.png", write_png_16, GREY.astype(np.uint16) * 200, [400]),
        written("a.png", write_png_16, np.stack([GREY] * 4, axis=2).astype(np.uint16) * 257),
    ]
    return [*found, *tiff_seeds()]
