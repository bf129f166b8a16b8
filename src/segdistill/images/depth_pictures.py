"""Reading the stored values of depth maps from pictures: PNG, TIFF and what else Pillow reads."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.decode import decode_stored, stored_values, upright
from segdistill.decoding.pillow_images import opened_quietly
from segdistill.decoding.raster_bands import opaque_bands
from segdistill.decoding.rasterio_files import open_dataset, translated_errors
from segdistill.decoding.scaling import missing_values
from segdistill.decoding.tiff_damage import refuse_cut_off
from segdistill.decoding.tiff_header import read_tiff_header
from segdistill.errors import UserError, missing_extra

DepthFormat = Literal["numbers", "carla", "tartanair", "float32-rgba"]
"""How a pixel holds its value.

``numbers``: as one number. ``carla``: as red + 256 green + 65536 blue, for 0 to 1000 metres.
``tartanair``: as the four bytes of a float32 in blue, green, red and alpha, in metres.
``float32-rgba``: the same in red, green, blue and alpha.
"""

Values = NDArray[Any]

CARLA_METRES = 1000.0
CARLA_STEPS = 2**24 - 1
BYTE_ORDERS = {"tartanair": (2, 1, 0, 3), "float32-rgba": (0, 1, 2, 3)}
GREY_MODES = frozenset(["L", "I", "F"])
SHADED_MODES = frozenset(["LA", "La", "P", "PA", "RGB", "RGBA", "RGBa"])
"""Pillow's modes of pictures that can be grey, although they are not stored as one number."""

PLAIN_TIFFS = "8- and 16-bit integers and 32-bit integers or floats, of one channel, are"

MOST_PIXELS = 250_000_000
"""Of a depth map that rasterio reads; a damaged header can claim more than memory holds."""


class UnreadableDepthError(UserError):
    """A file that is named like a depth map but cannot be read as one."""


def read_depth_picture(path: Path, packing: DepthFormat) -> Values:
    """Read the stored values of a picture, NaN where it has none.

    A picture of several channels is read if it is grey: all its colours have equal red, green and
    blue. Transparent pixels have no value.

    Args:
        path: path of the file.
        packing: how a pixel of a colour image holds its value.

    Returns:
        Array of shape (height, width).

    Raises:
        UnreadableDepthError: the picture has colours, or lacks the channels that are packed.
        Exception: of many types, from the libraries that decode, for damaged files.
    """
    header = read_tiff_header(path)
    if packing == "numbers" and header is not None and not header.is_exact_in_pillow:
        return _read_with_rasterio(path)
    with opened_quietly(path) as image:
        refuse_cut_off(image, path.stat().st_size)
        mode, transparent = image.mode, image.info.get("transparency")
        if packing != "numbers":
            image.load()
            return _unpacked(path, image, packing)
        if mode in GREY_MODES or mode.startswith("I;16"):
            image.load()
            values = stored_values(image)
            known = values != transparent if isinstance(transparent, int) else None
            return _with_gaps(values, known)
        if mode not in SHADED_MODES:
            raise _colour_error(path, mode)
    stored = decode_stored(path.read_bytes(), name=str(path))
    if not stored.is_8_bit:
        return _grey(path, stored.values, stored.valid, mode)
    with opened_quietly(path) as image:
        image.load()
        # Not as it is displayed: neither over white nor with its colour profile.
        shades = np.array(upright(image).convert("RGBA"))
    return _grey(path, shades[:, :, :3], shades[:, :, 3] > 0, mode)


def _read_with_rasterio(path: Path) -> Values:
    try:
        import rasterio  # noqa: F401, PLC0415 - an extra, and heavy
    except ImportError as error:
        raise UnreadableDepthError(
            f"{path}: a TIFF of this kind {missing_extra('rasterio', 'geo')}; without it,"
            f" {PLAIN_TIFFS} read"
        ) from error
    with open_dataset(path) as dataset, translated_errors(path):
        if dataset.width * dataset.height > MOST_PIXELS:
            raise UnreadableDepthError(
                f"{path}: has {dataset.width} x {dataset.height} pixels; a depth map has at most"
                f" {MOST_PIXELS // 10**6} million"
            )
        bands = opaque_bands(dataset)
        if len(bands) not in {1, 3}:
            raise UnreadableDepthError(f"{path}: has {len(bands)} bands; a depth map has one")
        known = np.logical_not(
            missing_values(dataset.read(bands[0]), dataset.nodatavals[bands[0] - 1])
        )
        known &= dataset.read_masks(bands[0]) > 0
        values = np.moveaxis(dataset.read(list(bands)), 0, 2)
    return _grey(path, values, known, f"{len(bands)} bands of {values.dtype}")


def _grey(path: Path, values: Values, known: NDArray[np.bool_] | None, kind: str) -> Values:
    """Return the one value of each pixel of (height, width, channels)."""
    shade = values[:, :, 0]
    for other in range(1, values.shape[2]):
        differs = shade != values[:, :, other]
        if known is not None:
            differs &= known  # what is transparent or missing may have any colour
        if differs.any():
            raise _colour_error(path, kind)
    return _with_gaps(shade, known)


def _with_gaps(values: Values, known: NDArray[np.bool_] | None) -> Values:
    return values if known is None or known.all() else np.where(known, values, np.nan)


def _colour_error(path: Path, kind: str) -> UnreadableDepthError:
    return UnreadableDepthError(
        f"{path}: a colour image ({kind}); a depth map has one value per pixel. If the colours"
        " encode depth, say how: --depth.format carla or --depth.format tartanair"
    )


def unpacked_depth(colours: NDArray[np.uint8], packing: DepthFormat) -> NDArray[np.float64]:
    """Return the metres that colours stand for.

    Args:
        colours: shape (height, width, 3) for ``carla`` and (height, width, 4) for the others.
        packing: one of the packed formats.

    Example:
        >>> unpacked_depth(np.array([[[255, 255, 255]]], np.uint8), "carla").tolist()
        [[1000.0]]
    """
    if packing == "carla":
        steps = colours[:, :, :3].astype(np.float64) @ np.array([1.0, 256.0, 65536.0])
        metres: NDArray[np.float64] = steps * (CARLA_METRES / CARLA_STEPS)
        return metres
    ordered = np.ascontiguousarray(colours[:, :, BYTE_ORDERS[packing]])
    # (height, width, 4) bytes -> (height, width, 1) floats
    return ordered.view("<f4")[:, :, 0].astype(np.float64)


def _unpacked(path: Path, image: Image.Image, packing: DepthFormat) -> NDArray[np.float64]:
    needed = 3 if packing == "carla" else 4
    colours = np.array(upright(image))
    if image.mode not in {"RGB", "RGBA"} or colours.shape[2] < needed:
        raise UnreadableDepthError(
            f"{path}: --depth.format {packing} needs {needed} channels of 8 bits, but this is"
            f" {image.mode}"
        )
    return unpacked_depth(colours, packing)
