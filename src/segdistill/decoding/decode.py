"""Reading image files of any kind: stored numbers, and 8-bit RGB as a viewer shows them."""

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segdistill.decoding.geotiff import is_raster, open_raster
from segdistill.decoding.heif import is_heif, register_heif
from segdistill.decoding.ignore_masks import with_ignored
from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS, ImageReading
from segdistill.decoding.matlab import MATLAB_START, MatlabFileError, read_matlab_array
from segdistill.decoding.pictures import Picture, StoredImage
from segdistill.decoding.pillow_images import (
    choose_picture,
    image_in_memory,
    opened_quietly,
    stored_image,
    stored_values,
    upright,
)
from segdistill.decoding.tiff_damage import refuse_cut_off, told_reason
from segdistill.decoding.tiff_header import (
    TIFF_STARTS,
    TIFF_SUFFIXES,
    tiff_header,
)
from segdistill.errors import UnreadableImageError, missing_extra
from segdistill.files import read_file

__all__ = [
    "UnreadableImageError",
    "content_hash",
    "decode_image",
    "decode_stored",
    "image_in_memory",
    "read_image",
    "read_picture",
    "stored_values",
    "to_tensor",
    "upright",
]

MATLAB_IMAGE_KEY = "img"
"""Name of the array that holds the image in a MATLAB file."""


def read_image(path: Path, reading: ImageReading | None = None) -> NDArray[np.uint8]:
    """Read an image as a viewer shows it; see :func:`read_picture`.

    Returns:
        Array of shape (height, width, 3).
    """
    return read_picture(path, reading).pixels


def read_picture(
    path: Path, reading: ImageReading | None = None, ignore: Path | None = None
) -> Picture:
    """Read an image of any kind as a viewer shows it, and which of its pixels have a value.

    The EXIF orientation and the colour profile are applied. Numbers of more than 8 bits, in
    whatever file, become grey or colours by the value ranges of ``reading``. Pixels without a value
    (declared as no data, not finite, transparent, of a constant border, or ignored) get a neutral
    colour. TIFFs that Pillow cannot read exactly are read through
    :mod:`segdistill.decoding.geotiff`, if rasterio is installed.

    Args:
        path: path of the file. In a MATLAB file the array ``img`` is read, height x width x 3 or 4;
            a fourth channel (infrared) is ignored.
        reading: how images are read, as stored with a run; by default as each file says.
        ignore: mask of pixels to be ignored.

    Raises:
        UnreadableImageError: the file or the mask is missing, truncated or not an image.
    """
    reading = reading or AS_EACH_FILE_SAYS
    if is_raster(path):
        with open_raster(path, reading) as opened:
            picture = Picture(*opened.read_whole())
    else:
        try:
            content = read_file(path)
        except OSError as error:
            raise UnreadableImageError(f"{path}: {error.strerror or error}") from error
        picture = decode_stored(content, name=str(path)).shown(reading)
    return picture if ignore is None else with_ignored(picture, ignore, str(path), reading)


def decode_image(content: bytes, *, name: str) -> NDArray[np.uint8]:
    """Decode the bytes of an image file as :func:`read_image` does.

    Args:
        content: content of the file.
        name: name for error messages.
    """
    return decode_stored(content, name=name).shown(AS_EACH_FILE_SAYS).pixels


def decode_stored(content: bytes, *, name: str) -> StoredImage:
    """Decode the bytes of an image file to stored numbers.

    Args:
        content: content of the file.
        name: path of the file, for messages.

    Raises:
        UnreadableImageError: the content is damaged or not an image.
    """
    if not content:
        raise UnreadableImageError(f"{name}: the file is empty")
    if content.startswith(MATLAB_START):
        return _decode_matlab(content, name)
    header = tiff_header(io.BytesIO(content)) if content.startswith(TIFF_STARTS) else None
    if header is not None and not header.is_exact_in_pillow:
        if find_spec("rasterio") and Path(name).suffix.lower() not in TIFF_SUFFIXES:
            raise UnreadableImageError(f"{name}: a TIFF; rename it so that its name ends in .tif")
        raise UnreadableImageError(f"{name}: a TIFF that {missing_extra('rasterio', 'geo')}")
    if is_heif(content):
        register_heif(name)
    try:
        with opened_quietly(content) as image:
            choose_picture(image, name)
            refuse_cut_off(image, len(content))
            return stored_image(image, content, name, header)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"{name}: not an image that can be decoded") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"{name}: more than 178 million pixels; split it into tiles"
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise many types of errors for damaged files.
        reason = f" ({told})" if (told := told_reason(error)) else ""
        raise UnreadableImageError(f"{name}: damaged or truncated{reason}") from error


def _decode_matlab(content: bytes, name: str) -> StoredImage:
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
    return StoredImage(name, values[:, :, :3])


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
