"""Finding TIFFs that are cut off before libtiff does, which prints to the terminal by itself."""

from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

# Where the parts of a picture are, and how many bytes each has: of strips, and of tiles.
PARTS = ((273, 279), (324, 325))
LIBTIFF = "libtiff"


def refuse_cut_off(image: Image.Image, size: int) -> None:
    """Refuse a compressed TIFF with parts beyond the end of its file; others are let pass.

    Args:
        image: not loaded yet, at the picture that is wanted.
        size: of the file in bytes.

    Raises:
        ValueError: a part is not in the file, or not whole.
    """
    if not any(each[0] == LIBTIFF for each in getattr(image, "tile", ())):
        return
    tags: Any = getattr(image, "tag_v2", {})
    for offsets, counts in PARTS:
        starts, lengths = (np.array(tags.get(each, ()), np.float64) for each in (offsets, counts))
        if starts.size and starts.shape == lengths.shape and (starts + lengths).max() > size:
            raise ValueError("it ends too early")


def told_reason(error: Exception) -> str:
    """Return what a decoder says about a damaged file; nothing if that is a number of Pillow's.

    Example:
        >>> told_reason(OSError("decoder error -2")), told_reason(ValueError("it ends too early"))
        ('', 'it ends too early')
    """
    if isinstance(error, UnidentifiedImageError):
        return "not an image that can be decoded"  # Pillow names an object of ours
    reason = str(error)
    return "" if "decoder error" in reason else reason
