"""Images and masks as ``data:`` URIs."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.model.description import SegmentClass

JPEG_QUALITY = 80


def data_uri(content: bytes, media_type: str) -> str:
    """Encode content as a ``data:`` URI.

    Example:
        >>> data_uri(b"abc", "image/png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def image_uri(image: NDArray[np.uint8]) -> str:
    """Encode an image as a JPEG in a ``data:`` URI.

    Args:
        image: image of shape (height, width, 3).

    Example:
        >>> image_uri(np.zeros((2, 3, 3), np.uint8))[:23]
        'data:image/jpeg;base64,'
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def mask_uri(mask: NDArray[np.uint8], classes: Sequence[SegmentClass]) -> str:
    """Encode a mask as a palette PNG in a ``data:`` URI.

    Args:
        mask: class indices, shape (height, width).
        classes: classes with their colours; hidden classes are transparent.
    """
    image = Image.fromarray(mask)
    image.putpalette([value for each in classes for value in each.colour])
    if any(each.hidden for each in classes):
        image.info["transparency"] = bytes(0 if each.hidden else 255 for each in classes)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")
