"""Images and masks as data URLs for the page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.images.palette import css_colour
from segdistill.inference.samples import class_pixels, shares_of
from segdistill.model.description import SegmentClass
from segdistill.report.data_uri import image_uri, mask_uri
from segdistill.report.text import description_of_shares, percent


@dataclass(frozen=True)
class Part:
    """A class in an image.

    Attributes:
        name: name of the class.
        colour: CSS colour.
        hidden: whether the class is hidden in overlays.
        share: share of the image's pixels, 0..1.
        share_text: formatted share.
    """

    name: str
    colour: str
    hidden: bool
    share: float
    share_text: str


@dataclass(frozen=True)
class Picture:
    """An image with its mask.

    Attributes:
        index: index in the gallery; -1 if the image is not part of it.
        name: name of the file.
        alt: alternative text that lists the classes.
        photo: URL of the image.
        mask: URL of the coloured mask.
        height: height in pixels.
        width: width in pixels.
        parts: classes in the image, the largest first.
    """

    index: int
    name: str
    alt: str
    photo: str
    mask: str
    height: int
    width: int
    parts: list[Part]


@dataclass(frozen=True)
class MissingPicture:
    """An image that cannot be shown.

    Attributes:
        index: index in the gallery.
        name: name of the file.
        reason: why the image cannot be shown.
    """

    index: int
    name: str
    reason: str


def picture_of(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    classes: Sequence[SegmentClass],
    *,
    name: str,
    index: int = -1,
) -> Picture:
    """Convert an image and its mask to a :class:`Picture`.

    Args:
        image: image, shape (height, width, 3).
        mask: class indices, shape (height, width).
        classes: classes in index order.
        name: name of the file.
        index: index in the gallery.
    """
    shares = shares_of(class_pixels([mask], len(classes)))[0].tolist()
    parts = [
        Part(each.name, css_colour(each.colour), each.hidden, share, percent(share))
        for each, share in zip(classes, shares, strict=True)
        if share > 0
    ]
    parts.sort(key=lambda part: -part.share)
    return Picture(
        index=index,
        name=name,
        alt=description_of_shares(name, [(part.name, part.share) for part in parts]),
        photo=image_uri(image),
        mask=mask_uri(mask, classes),
        height=mask.shape[0],
        width=mask.shape[1],
        parts=parts,
    )
