"""Label files, and the colours of classes."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile

VOID = 255
"""Label of pixels that are ignored."""

Colour = tuple[int, int, int]


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read a label file: class indices from 0, with 255 for 'not labelled'.

    Returns:
        Array of shape (height, width).

    Raises:
        UserError: the file is missing, damaged, or not a single-channel image.
    """
    try:
        with Image.open(path) as image:
            mode, labels = image.mode, np.array(image)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such label file") from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise many types of errors for damaged files.
        raise UserError(f"{path}: cannot be read as labels ({error})") from error
    if mode not in {"P", "L", "I", "1"} and not mode.startswith("I;16"):
        raise UserError(
            f"{path}: labels must be one channel of class indices, not {mode};"
            " save them as an 8-bit grey or palette PNG"
        )
    if labels.size and labels.max() > VOID:
        raise UserError(
            f"{path}: holds the value {labels.max()}; labels are class indices from 0 to 254,"
            " with 255 for 'not labelled'"
        )
    return labels.astype(np.int64)


def match_labels(
    images: Sequence[ImageFile], labels: Sequence[ImageFile], *, kind: str = "label file"
) -> list[tuple[ImageFile, ImageFile]]:
    """Pair images with the files of the same relative name, with any suffix.

    A file's name may also contain the image's full name, such as ``a.jpg.png``. Images without a
    file are left out.

    Args:
        images: images to match.
        labels: label files, depth maps and the like.
        kind: what those are called in messages.

    Raises:
        UserError: no image has such a file, or an image has several.
    """
    by_stem: dict[Path, list[ImageFile]] = {}
    for each in labels:
        by_stem.setdefault(each.name.with_suffix(""), []).append(each)
    pairs = []
    for image in images:
        found = by_stem.get(image.name) or by_stem.get(image.name.with_suffix("")) or []
        if len(found) > 1:
            raise UserError(
                f"{found[0].path} and {found[1].path}: both are {kind}s of {image.name}; remove one"
            )
        pairs += [(image, each) for each in found]
    if not pairs:
        raise UserError(
            f"none of {len(images)} images (such as {images[0].name}) has a {kind} of the same"
            f" name (such as {labels[0].name if labels else 'none'}); give the two folders that"
            " correspond"
        )
    return pairs


def distinct_colours(count: int) -> list[Colour]:
    """Return colours that are easy to distinguish; a longer list begins with the same colours.

    Hues advance by the golden angle; lightness alternates, for readers who distinguish hues poorly.

    Example:
        >>> len(set(distinct_colours(27)))
        27
    """
    golden = 0.618033988749895
    colours: list[Colour] = []
    for index in range(count):
        hue = (0.58 + index * golden) % 1.0
        lightness = (0.52, 0.68, 0.38)[index % 3]
        saturation = (0.70, 0.62, 0.60)[index % 3]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours


def shades(colour: Colour, count: int) -> list[Colour]:
    """Return shades of a colour, from darker to lighter; if only one, the colour itself.

    Example:
        >>> shades((100, 150, 200), 1), shades((100, 150, 200), 3)
        ([(100, 150, 200)], [(65, 98, 130), (100, 150, 200), (154, 187, 219)])
    """
    if count == 1:
        return [colour]
    made: list[Colour] = []
    for index in range(count):
        position = 2 * index / (count - 1) - 1  # -1 is the darkest, 1 the lightest
        target, weight = (0, -0.35 * position) if position < 0 else (255, 0.35 * position)
        red, green, blue = (round(part + (target - part) * weight) for part in colour)
        made.append((red, green, blue))
    return made
