"""Ignore masks: images that mark, by how they look, the pixels of other images to be left out."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.geotiff import is_raster, open_raster
from segdistill.decoding.heif import is_heif, register_heif
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.pictures import Picture, StoredImage, Valid, both, filled
from segdistill.decoding.pillow_images import (
    choose_picture,
    drops_bytes,
    has_opacity,
    is_lossy,
    opened_quietly,
    stored_image,
    upright,
)
from segdistill.decoding.tiff_header import JPEG_COMPRESSIONS, TIFF_STARTS, tiff_header
from segdistill.errors import UnreadableImageError
from segdistill.files import read_file

MOST_ASPECT_ERROR = 0.02
LEAST_LOSSY = 128
"""Lossy compression leaves noise around 0: there, lower numbers mark nothing."""


def with_ignored(picture: Picture, mask: Path, name: str, reading: ImageReading) -> Picture:
    """Return a picture without the pixels that an ignore mask marks.

    Args:
        picture: of an image.
        mask: an image of the same shape; see :func:`read_ignored`.
        name: path of the image, for messages.
        reading: of the run.

    Raises:
        UnreadableImageError: the mask cannot be read, or has another shape.
    """
    ignored = read_ignored(mask, picture.pixels.shape[0], picture.pixels.shape[1], name)
    return filled(picture.displayed, both(picture.valid, ~ignored), reading)


def read_ignored(mask: Path, height: int, width: int, name: str) -> Valid:
    """Read an ignore mask at the size of its image.

    A mask is read as it looks: pixels that are not black are ignored. Transparent pixels, and those
    without a value, are not; if all the others are black, the mask is a black shape on a
    transparent ground, and they are ignored.

    Args:
        mask: an image of the same shape, of any kind.
        height: of the image.
        width: of the image.
        name: path of the image, for messages.

    Returns:
        Which pixels are ignored, shape (height, width).

    Raises:
        UnreadableImageError: the mask cannot be read, or has another shape.
    """
    try:
        marked = Image.fromarray(_marked(mask))
    except UnreadableImageError:
        raise
    except Exception as error:
        # Pillow's decoders raise many types of errors for damaged files.
        raise UnreadableImageError(f"{mask}: cannot be read as an ignore mask ({error})") from error
    ratio = (marked.width / marked.height) / (width / height)
    if abs(ratio - 1) > MOST_ASPECT_ERROR:
        raise UnreadableImageError(
            f"{mask}: {marked.width} x {marked.height} pixels, but {name} has {width} x {height};"
            " an ignore mask must cover the whole upright image"
        )
    return np.asarray(marked.resize((width, height), Image.Resampling.NEAREST))


def _marked(mask: Path) -> Valid:
    """Return which pixels of a mask are marked, at its own size."""
    if is_raster(mask):
        with open_raster(mask) as raster:
            return _not_black(raster.stored())
    content = read_file(mask)
    header = tiff_header(io.BytesIO(content)) if content.startswith(TIFF_STARTS) else None
    if is_heif(content):
        register_heif(str(mask))
    with opened_quietly(content) as image:
        choose_picture(image, str(mask))
        lossy = is_lossy(image.format or "", content)
        lossy = lossy or (header is not None and header.compression in JPEG_COMPRESSIONS)
        least = LEAST_LOSSY if lossy else 1
        if not has_opacity(image):
            return _not_black(stored_image(image, content, str(mask), header), least)
        if drops_bytes(image):
            stored = stored_image(image, content, str(mask), header)
        else:
            rgba = np.asarray(upright(image).convert("RGBA"))
            stored = StoredImage(str(mask), rgba[:, :, :3], rgba[:, :, 3] >= least)
        marked = _not_black(stored, least)
        # A black shape on a transparent ground.
        return marked if marked.any() or stored.valid is None else stored.valid


def _not_black(stored: StoredImage, least: int = 1) -> Valid:
    """Return where any band has a value that is not 0, or at least another."""
    values: NDArray[Any] = stored.values
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0)
    # In files without loss, negative numbers mark, too.
    marks = values >= least if least > 1 else values != 0
    marked: Valid = np.any(marks, axis=2)
    return marked if stored.valid is None else marked & stored.valid
