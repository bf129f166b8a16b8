"""The numbers and colours that a label file stores, whatever its format.

Viewers and Pillow scale or blend what they show; a label is its stored number. So grey images of 2
or 4 bits and portable grey maps are scaled back, and 16-bit colours are not cut to 8 bits.
"""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segdistill.decoding.decode import stored_values, upright
from segdistill.decoding.geotiff import MOST_PIXELS_HELD
from segdistill.decoding.library_warnings import without_library_warnings
from segdistill.decoding.matlab import MatlabFileError, read_matlab_array
from segdistill.decoding.numpy_files import mapped_array
from segdistill.decoding.orientation import turn_of
from segdistill.decoding.pillow_images import PREFIX_BYTES, is_lossy, opened_quietly
from segdistill.decoding.raster_bands import colours_of
from segdistill.decoding.rasterio_files import open_dataset
from segdistill.decoding.tiff_damage import told_reason
from segdistill.decoding.tiff_header import (
    MASK_SUFFIX,
    ORIENTATION,
    PHOTOMETRIC,
    TIFF_STARTS,
    WHITE_IS_ZERO,
    has_mask_picture,
    read_tiff_tag,
)
from segdistill.errors import UserError
from segdistill.files import check_regular

Values = NDArray[np.int64]

NO_VALUE = -(2**62)
"""Value of pixels without a value: transparent, NaN, or declared as no data."""

LARGEST = 2**62
"""Numbers of larger magnitude are refused."""

MATLAB_LABEL_KEY = "gt"
"""Name of the array that holds the labels in a MATLAB file."""

NO_DATA = 42113
MOST_BANDS = 5
"""Red, green, blue, opacity and another; a damaged file may claim thousands."""


@dataclass(frozen=True, eq=False)
class LabelPixels:
    """The upright pixels of a label file.

    Attributes:
        values: shape (height, width): numbers or, if ``coloured``, colours as 0xRRGGBB;
            :data:`NO_VALUE` where there is none.
        coloured: whether ``values`` are colours.
        palette: colours as 0xRRGGBB of the numbers, if the file has a palette, shape (numbers,).
        lossy: whether the file's compression changes values, as JPEG does.
    """

    values: Values
    coloured: bool = False
    palette: Values | None = None
    lossy: bool = False


def read_label_pixels(path: Path) -> LabelPixels:
    """Read a label file: an image of any kind, a ``.npy`` array, or ``gt`` of a MATLAB file.

    Raises:
        UserError: the file is missing or damaged, or its values are not whole numbers or colours.
    """
    readers = {".npy": _read_npy, ".mat": _read_matlab}
    try:
        check_regular(path)
        pixels = readers.get(path.suffix.lower(), _read_picture)(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such label file") from error
    except (UserError, MemoryError):
        raise
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read as labels ({error.strerror or _one_line(error)})"
        ) from error
    except Exception as error:
        # Pillow's and NumPy's readers raise many types of errors for damaged files.
        raise UserError(f"{path}: cannot be read as labels ({_one_line(error)})") from error
    if not pixels.values.size:
        raise UserError(f"{path}: contains no pixels")
    return pixels


def packed(colours: NDArray[Any]) -> Values:
    """Return 8-bit colours of shape (..., 3) as 0xRRGGBB, shape (...).

    Example:
        >>> hex(packed(np.array([128, 64, 255])))
        '0x8040ff'
    """
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    return red << 16 | green << 8 | blue


def unpacked(colours: Values) -> Values:
    """Return colours given as 0xRRGGBB, shape (...), as red, green and blue, shape (..., 3).

    Example:
        >>> unpacked(np.array([0x8040FF])).tolist()
        [[128, 64, 255]]
    """
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)


def is_grey(colours: Values) -> NDArray[np.bool_]:
    """Return for colours given as 0xRRGGBB whether their three channels are equal."""
    grey: NDArray[np.bool_] = (colours < 0) | (colours == (colours & 255) * 0x010101)
    return grey


def _read_picture(path: Path) -> LabelPixels:
    orientation = 0
    try:
        with opened_quietly(path) as image:
            stored = _stored_mode(image)
            if not stored.for_rasterio and not _has_gdal_mask(path, image):
                return _from_pillow(path, image, stored)
            with contextlib.suppress(Exception):  # damaged EXIF, as in upright()
                orientation = image.getexif().get(ORIENTATION, 0)
    except UnidentifiedImageError:
        # Pillow does not read TIFFs of 64 bits a value, or of two bands.
        with path.open("rb") as file:
            if file.read(4) not in TIFF_STARTS:
                raise
    return _from_rasterio(path, orientation or read_tiff_tag(path, ORIENTATION))


def _has_gdal_mask(path: Path, image: Image.Image) -> bool:
    """Return whether a TIFF says which pixels count in a way that Pillow does not read."""
    if image.format != "TIFF":
        return False
    no_data = image.mode == "P" and NO_DATA in getattr(image, "tag_v2", {})
    beside = path.with_name(f"{path.name}{MASK_SUFFIX}").exists()
    return no_data or beside or has_mask_picture(path)


@dataclass(frozen=True)
class _StoredMode:
    """How a file stores its values, where Pillow changes them while decoding."""

    factor: float = 1.0  # Pillow multiplies grey values by this
    inverted: bool = False
    for_rasterio: bool = False  # Pillow cuts 16-bit colours to 8, and mixes up lying TIFFs


def _stored_mode(image: Image.Image) -> _StoredMode:
    tile = next(iter(getattr(image, "tile", ())), None)
    arguments = tile.args if tile is not None else ""
    mode, *more = arguments if isinstance(arguments, tuple) else (arguments,)
    mode = str(mode)
    if image.format == "PPM" and more and image.mode in {"L", "I"}:
        return _StoredMode(factor=(255 if image.mode == "L" else 65535) / int(more[0]))
    tags = getattr(image, "tag_v2", {})
    if (";16" in mode and not mode.startswith("I;16")) or tags.get(ORIENTATION, 1) > 4:
        return _StoredMode(for_rasterio=True)
    bits = re.match(r"L;([24])", mode)
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and image.mode in {"1", "L"}
    return _StoredMode(255 / (2 ** int(bits[1]) - 1) if bits else 1.0, inverted)


def _from_pillow(path: Path, image: Image.Image, stored: _StoredMode) -> LabelPixels:
    image.load()
    with path.open("rb") as file:
        lossy = is_lossy(image.format or "", file.read(PREFIX_BYTES))
    transparent = _transparent(image)
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
        indices = _without(np.array(upright(image), np.int64), transparent)
        return LabelPixels(indices, palette=packed(palette))
    if image.mode in {"1", "L"}:
        # Declared no-data, as GeoTIFFs have it, is a stored number.
        numbers = _numbers(image)
        values = numbers if stored.factor == 1 else np.rint(numbers / stored.factor)
        highest = round(255 / stored.factor) if image.mode == "L" else 1
        whole = _whole(path, highest - values.astype(np.float64) if stored.inverted else values)
        step = 255 if image.mode == "1" else stored.factor
        return LabelPixels(_without(whole, [round(n / step) for n in transparent]), lossy=lossy)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        values = _numbers(image)
        scaled = values if stored.factor == 1 else np.rint(values / stored.factor)
        return LabelPixels(_without(_whole(path, scaled), transparent))
    shown = upright(image)
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        alpha = np.array(shown.getchannel(shown.mode[-1].upper())) == 0
        if image.mode == "PA":
            numbers = np.array(shown.getchannel("P"), np.int64)
        elif image.mode in {"LA", "La"}:
            numbers = np.array(shown.convert("LA").getchannel("L"), np.int64)
        else:
            colours = packed(np.array(shown.convert("RGBA")))
            return LabelPixels(np.where(alpha, NO_VALUE, colours), coloured=True, lossy=lossy)
        return LabelPixels(np.where(alpha, NO_VALUE, numbers))
    colours = _without(packed(np.array(shown.convert("RGB"))), transparent)
    return LabelPixels(colours, coloured=True, lossy=lossy)


def _transparent(image: Image.Image) -> list[int]:
    """Return the numbers or colours that a file without alpha declares fully transparent."""
    declared = image.info.get("transparency")
    if isinstance(declared, bytes):  # the opacity of each index of a palette
        return [index for index, opacity in enumerate(declared) if not opacity]
    if isinstance(declared, tuple) and len(declared) == 3:
        return [int(packed(np.array(declared)))]
    return [declared] if isinstance(declared, int) else []


def _without(values: Values, transparent: list[int]) -> Values:
    return np.where(np.isin(values, transparent), NO_VALUE, values) if transparent else values


def _numbers(image: Image.Image) -> NDArray[Any]:
    """Return the stored numbers of a grey image, upright, NaN where there is none."""
    return stored_values(image)


def _from_rasterio(path: Path, orientation: int) -> LabelPixels:
    """Read what Pillow cannot: 64-bit values, 16-bit colours, two bands, lying TIFFs, masks."""
    with open_dataset(path) as dataset:
        if dataset.width * dataset.height > MOST_PIXELS_HELD:
            raise UserError(
                f"{path}: more than {MOST_PIXELS_HELD // 10**6} million pixels; split it into tiles"
            )
        if dataset.count > MOST_BANDS:
            raise UserError(
                f"{path}: has {dataset.count} bands; labels are one band of numbers, or red, green"
                " and blue"
            )
        bands = dataset.read()  # (bands, height, width)
        names = colours_of(dataset)
        missing = [value for value in dataset.nodatavals if value is not None]
        table = dataset.colormap(1) if "palette" in names else {}
        seen = np.ones(bands.shape[1:], np.bool_)
        flags = {flag.name for flag in dataset.mask_flag_enums[0]}
        if "per_dataset" in flags and "alpha" not in flags:
            seen = dataset.read_masks(1) != 0
    if "alpha" in names:
        seen &= bands[names.index("alpha")] != 0
        bands = bands[[index for index, name in enumerate(names) if name != "alpha"]]
    pixels = _from_array(path, np.moveaxis(bands, 0, 2))
    for value in missing if not pixels.coloured else ():
        if np.isfinite(value):
            seen &= pixels.values != int(value)
    values = np.where(seen, pixels.values, NO_VALUE)
    colours = np.array([table.get(n, (0, 0, 0)) for n in range(max(table, default=-1) + 1)])
    return LabelPixels(
        turn_of(orientation).upright(values),
        coloured=pixels.coloured,
        palette=packed(colours) if table else None,
    )


def _read_npy(path: Path) -> LabelPixels:
    with without_library_warnings:
        values: NDArray[np.generic] = mapped_array(path)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    return _from_array(path, np.array(values))


def _read_matlab(path: Path) -> LabelPixels:
    try:
        return _from_array(path, read_matlab_array(path.read_bytes(), MATLAB_LABEL_KEY))
    except MatlabFileError as error:
        raise UserError(f"{path}: {error}") from error


def _from_array(path: Path, values: NDArray[Any]) -> LabelPixels:
    """Return the pixels of an array of shape (height, width) or (height, width, 1, 3 or 4)."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim == 2:
        return LabelPixels(_whole(path, values))
    if values.ndim != 3 or values.shape[2] not in {3, 4}:
        raise UserError(
            f"{path}: labels are numbers of shape height x width, or colours of shape height x"
            f" width x 3, not {values.dtype} of shape {values.shape}"
        )
    colours = _whole(path, values[:, :, :3])
    if colours.max() > 255 and not (colours % 257).any():
        colours //= 257  # 8-bit colours as they are saved with 16 bits
    hidden = values[:, :, 3] == 0 if values.shape[2] == 4 else np.zeros((1, 1), np.bool_)
    if (colours == colours[:, :, :1]).all():
        return LabelPixels(np.where(hidden, NO_VALUE, colours[:, :, 0]))
    if colours.min() < 0 or colours.max() > 255:
        raise UserError(f"{path}: has colours of more than 8 bits; save labels as class numbers")
    return LabelPixels(np.where(hidden, NO_VALUE, packed(colours)), coloured=True)


def _whole(path: Path, values: NDArray[Any]) -> Values:
    """Return whole numbers as int64, :data:`NO_VALUE` for NaN."""
    if values.dtype.kind not in "biuf":
        raise UserError(f"{path}: labels are whole numbers, not {values.dtype}")
    if values.dtype.kind != "f":
        if values.dtype.kind == "u" and values.size and values.max() > LARGEST:
            raise UserError(f"{path}: contains the number {values.max()}, too large for a label")
        return values.astype(np.int64)
    # The largest number does not fit into 16 bits, nor every number of 128 into 64.
    with np.errstate(invalid="ignore", over="ignore"):
        values = values.astype(np.float64)
    missing = np.isnan(values)
    known = values[~missing]
    odd = known[~(np.floor(known) == known) | (np.abs(known) > LARGEST)]
    if odd.size:
        raise UserError(
            f"{path}: contains {odd[0]:g}; labels are whole numbers (these look like"
            " probabilities or interpolated values: save the class of each pixel)"
        )
    return np.where(missing, NO_VALUE, np.where(missing, 0, values).astype(np.int64))


def _one_line(error: Exception) -> str:
    text = " ".join((told_reason(error) or str(error)).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
