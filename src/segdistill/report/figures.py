"""Pictures for a page: reduced, encoded, and turned into ``data:`` addresses."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from segdistill.images.resize import resize_image
from segdistill.model.description import SegmentClass
from segdistill.report.examples import Sample, Window, reduced_size

JPEG_QUALITY = 80
EXAMPLE_SIDE = 176
DIMMED = 0.35


def data_uri(content: bytes, media_type: str) -> str:
    """Return an address that holds the content itself.

    Example:
        >>> data_uri(b"abc", "image/png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def image_uri(image: NDArray[np.uint8]) -> str:
    """Return an image as a JPEG in a ``data:`` address.

    Args:
        image: shape (height, width, 3).

    Example:
        >>> image_uri(np.zeros((2, 3, 3), np.uint8))[:23]
        'data:image/jpeg;base64,'
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def mask_uri(mask: NDArray[np.uint8], classes: Sequence[SegmentClass]) -> str:
    """Return a mask in its colours as a palette PNG in a ``data:`` address.

    Args:
        mask: class indices, shape (height, width).
        classes: give the colours; hidden ones are transparent.
    """
    image = Image.fromarray(mask)
    image.putpalette([value for each in classes for value in each.colour])
    if any(each.hidden for each in classes):
        image.info["transparency"] = bytes(0 if each.hidden else 255 for each in classes)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")


def example_picture(sample: Sample, window: Window, index: int) -> NDArray[np.uint8]:
    """Cut a window out, with a thin line around the class and all else grey and dark.

    Args:
        sample: the image with its mask.
        window: what to cut out.
        index: of the class.

    Returns:
        Array of shape (height, width, 3), the longer side :data:`EXAMPLE_SIDE`.
    """
    part = sample.image[window.rows, window.columns]
    belongs = sample.mask[window.rows, window.columns] == index
    scale = EXAMPLE_SIDE / max(belongs.shape)
    size = reduced_size(
        max(1, round(belongs.shape[0] * scale)),
        max(1, round(belongs.shape[1] * scale)),
        EXAMPLE_SIDE,
    )
    picture = resize_image(part, size).astype(np.float32)
    shown = _resize_flags(belongs, size)
    grey = picture.mean(axis=2, keepdims=True) * DIMMED
    picture = np.where(shown[:, :, None], picture, grey)
    # The window's own border is not an edge of the class, hence border_value.
    inner = ndimage.binary_erosion(shown, border_value=1)
    picture[shown & ~inner] = 255
    return np.round(picture).astype(np.uint8)


def _resize_flags(flags: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    grey = Image.fromarray(flags.astype(np.uint8) * 255)
    resized = grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized) >= 128
