"""Decoding image files to upright 8-bit RGB."""

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from segdistill.errors import UnreadableImageError, missing_extra
from segdistill.images.geotiff import is_raster, open_raster
from segdistill.images.matlab import MATLAB_START, MatlabFileError, read_matlab_array
from segdistill.images.raster_reading import RasterReading
from segdistill.images.scaling import nominal_range, rgb_from_bands
from segdistill.images.tiff_header import TIFF_STARTS

__all__ = [
    "UnreadableImageError",
    "content_hash",
    "decode_image",
    "read_image",
    "stored_values",
    "to_rgb",
    "to_tensor",
    "upright",
]

MATLAB_IMAGE_KEY = "img"
"""Name of the array that holds the image in a MATLAB file."""

NO_DATA_TAG = 42113  # GDAL's, of GeoTIFF
SAMPLE_FORMAT_TAG = 339
UNSIGNED, SIGNED = 1, 2


def read_image(path: Path, raster: RasterReading | None = None) -> NDArray[np.uint8]:
    """Read an image as a viewer shows it.

    The EXIF orientation is applied, transparency is blended with white, and grey, palette, CMYK,
    16-bit and floating-point images become 8-bit RGB. In a MATLAB file the array ``img`` is read,
    height x width x 3 or 4; a fourth channel (infrared) is ignored. GeoTIFFs are read through
    :mod:`segdistill.images.geotiff`, if rasterio is installed, black where there is no value.

    Args:
        path: path of the file.
        raster: how GeoTIFFs are read, as stored with a run; by default as each file's metadata
            says.

    Returns:
        Array of shape (height, width, 3).

    Raises:
        UnreadableImageError: the file is missing, truncated or not an image.
    """
    if is_raster(path):
        with open_raster(path, raster) as opened:
            return opened.read_whole()[0]
    try:
        return decode_image(path.read_bytes(), name=str(path))
    except OSError as error:
        raise UnreadableImageError(f"{path}: {error.strerror or error}") from error


def decode_image(content: bytes, *, name: str) -> NDArray[np.uint8]:
    """Decode the bytes of an image file as :func:`read_image` does.

    Args:
        content: content of the file.
        name: name for error messages.
    """
    if not content:
        raise UnreadableImageError(f"{name}: the file is empty")
    if content.startswith(MATLAB_START):
        return _decode_matlab(content, name)
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return to_rgb(upright(image))
    except UnidentifiedImageError as error:
        if content.startswith(TIFF_STARTS):
            needs = missing_extra("rasterio", "geo")
            raise UnreadableImageError(f"{name}: a TIFF that {needs}") from error
        raise UnreadableImageError(f"{name}: not an image that can be decoded") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"{name}: more than 178 million pixels; split it into tiles"
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise many types of errors for damaged files.
        raise UnreadableImageError(f"{name}: damaged or truncated ({error})") from error


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; an image with damaged EXIF stays unchanged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader fails in many ways, and pixels are fine
        return image


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a Pillow image of any mode to 8-bit RGB, shape (height, width, 3).

    Args:
        image: decoded image; its EXIF orientation is not applied.

    Example:
        >>> to_rgb(Image.new("L", (4, 2), 7))[0, 0].tolist()
        [7, 7, 7]
    """
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _rgb_from_values(np.asarray(image)[:, :, None])
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        # Colours under full transparency are arbitrary; white is what a web page would show.
        flat = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        flat.alpha_composite(rgba)
        image = flat
    return np.array(image.convert("RGB"))


def stored_values(image: Image.Image) -> NDArray[np.generic]:
    """Return the stored numbers of a grey image, upright, NaN where a GeoTIFF has no data.

    Pillow reads unsigned 32-bit and signed 8-bit TIFFs with the other sign; that is undone.
    """
    values: NDArray[np.generic] = np.array(upright(image))
    tags = getattr(image, "tag_v2", {})
    (sample_format,) = np.ravel(tags.get(SAMPLE_FORMAT_TAG, UNSIGNED))[:1]
    if values.dtype == np.int32 and sample_format == UNSIGNED:
        values = values.view(np.uint32)
    elif values.dtype == np.uint8 and sample_format == SIGNED:
        values = values.view(np.int8)
    try:
        no_data = float(str(tags.get(NO_DATA_TAG, "")).strip("\0 "))
    except ValueError:
        return values
    # Equal numbers differ at most by rounding to float32.
    return np.where(np.isclose(values, no_data, rtol=1e-7, atol=0), np.nan, values)


def _decode_matlab(content: bytes, name: str) -> NDArray[np.uint8]:
    try:
        values = read_matlab_array(content, MATLAB_IMAGE_KEY)
    except MatlabFileError as error:
        raise UnreadableImageError(f"{name}: {error}") from error
    if values.ndim == 2:
        values = values[:, :, None]
    elif values.ndim != 3 or values.shape[2] not in {3, 4}:
        raise UnreadableImageError(
            f"{name}: {MATLAB_IMAGE_KEY} must be height x width x 3 or 4, not {values.shape}"
        )
    return _rgb_from_values(values[:, :, :3])


def _rgb_from_values(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Convert values (height, width, 1 or 3) to 8-bit RGB; all bands have one scale."""
    bands = np.nan_to_num(np.moveaxis(values, 2, 0), nan=0.0, posinf=0.0, neginf=0.0)
    ranges = None if values.dtype == np.uint8 else (nominal_range(bands),) * len(bands)
    return np.ascontiguousarray(rgb_from_bands(bands, ranges))


def content_hash(content: bytes) -> str:
    """Return a 32-digit hexadecimal fingerprint of a file's content.

    Example:
        >>> content_hash(b"same") == content_hash(b"same")
        True
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def to_tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    """Convert an 8-bit image (height, width, 3) to a batch of one, float32 in 0..1.

    Returns:
        Tensor of shape (1, 3, height, width).
    """
    tensor = torch.from_numpy(np.ascontiguousarray(image))
    return tensor.permute(2, 0, 1)[None].float() / 255  # (h, w, 3) -> (1, 3, h, w)
