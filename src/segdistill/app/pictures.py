"""Images with their classes, as addresses that a page can show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.inference.samples import class_pixels, shares_of
from segdistill.model.description import SegmentClass
from segdistill.report.data_uri import css_colour, image_uri, mask_uri
from segdistill.report.text import description_of_shares, percent


@dataclass(frozen=True)
class Part:
    """A class in an image.

    Attributes:
        name: of the class.
        colour: as style sheets write it.
        hidden: whether it is left out of overlays.
        share: of the image's pixels, from 0 to 1.
        said: the share in words.
    """

    name: str
    colour: str
    hidden: bool
    share: float
    said: str


@dataclass(frozen=True)
class Picture:
    """An image with its classes.

    Attributes:
        index: of the image among those shown; -1 for one that is not among them.
        name: of the file.
        alt: says which classes are in it.
        photo: address of the image.
        mask: address of its classes in their colours.
        height: in pixels.
        width: in pixels.
        parts: the classes in it, the largest first.
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
        index: of the image among those shown.
        name: of the file.
        reason: why.
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
    """Prepare an image and its mask for a page.

    Args:
        image: shape (height, width, 3).
        mask: class indices, shape (height, width).
        classes: in the order of their indices.
        name: of the file.
        index: of the image among those shown.
    """
    shares = shares_of(class_pixels([mask], len(classes)))[0].tolist()
    parts = [
        Part(each.name, css_colour(each), each.hidden, share, percent(share))
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
