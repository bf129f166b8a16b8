"""What the backbone looks at: images, crops of them, and augmented copies."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segdistill.images.augmentation import Augmentation, drawn_augmentation
from segdistill.images.decode import read_image
from segdistill.images.depth_view import seen_region
from segdistill.images.folder import CheckedImage
from segdistill.images.lighting import LIGHTINGS, Lighting
from segdistill.images.resize import Crop, CropKind, Viewing, crops_of

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class View:
    """An image, or a crop of one, at the size at which the backbone sees it.

    Attributes:
        image: where it comes from.
        crop: the part of it.
        viewing: how the backbone sees that part.
        augmentation: a change to what the backbone sees, or ``None``.
    """

    image: CheckedImage
    crop: Crop
    viewing: Viewing
    augmentation: Augmentation | Lighting | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels, as the backbone sees it."""
        rows, columns = self.crop.pixels(self.image.height, self.image.width)
        return self.viewing.sizes(rows.stop - rows.start, columns.stop - columns.start)[1]

    @property
    def scale(self) -> float:
        """Pixels that the backbone sees for a pixel of the image, along the shorter side."""
        rows, columns = self.crop.pixels(self.image.height, self.image.width)
        height, width = int(rows.stop - rows.start), int(columns.stop - columns.start)
        return min(self.viewing.sizes(height, width)[0]) / min(height, width)

    @property
    def key(self) -> str:
        """What the store keeps its features under: content, crop, size and change."""
        height, width = self.size
        text = f"{self.image.digest} {self.crop.key} {height}x{width}"
        if self.viewing.square or self.viewing.resampling != "bicubic":
            text += f" {self.viewing.square} {self.viewing.resampling}"
        if self.augmentation is not None:
            text += f" {self.augmentation.key}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def cut(self, array: NDArray[Value]) -> NDArray[Value]:
        """Cut the part that the view shows out of what belongs to its image, such as labels.

        Args:
            array: shape (height, width, ...), of any size, covering the same ground as the image.
        """
        size = (self.image.height, self.image.width)
        rows, columns = seen_region(size, self.crop, self.viewing).pixels(*array.shape[:2])
        return array[rows, columns]

    def load(self) -> NDArray[np.uint8]:
        """Decode, cut, resize and change; returns shape (*size, 3)."""
        return self.seen_in(read_image(self.image.file.path, self.image.raster))

    def seen_in(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut, resize and change what was decoded, of which several views may be taken.

        Args:
            image: the whole image, shape (height, width, 3).

        Returns:
            Array of shape (*size, 3).
        """
        rows, columns = self.crop.pixels(*image.shape[:2])
        seen = self.viewing.apply(image[rows, columns])
        return seen if self.augmentation is None else self.augmentation.apply(seen)


def views_of(
    images: Iterable[CheckedImage],
    viewing: Viewing,
    *,
    crops: CropKind = "none",
    crop_ratio: float = 0.5,
    seed: int = 0,
) -> list[View]:
    """Return the views of all images, image by image.

    A crop is brought to the resolution of a whole image, so that it shows more detail.

    Args:
        images: what was checked.
        viewing: how the backbone sees each crop.
        crops: which crops to take of each image; see :func:`crops_of`.
        crop_ratio: side of a crop, as a share of the image's.
        seed: of random crops, beside the image's content.
    """
    return [
        View(image, crop, viewing)
        for image in images
        for crop in crops_of(crops, crop_ratio, seed=f"{seed} {image.digest}")
    ]


def augmented_views(views: Sequence[View], copies: int) -> list[View]:
    """Return augmented copies of views: all of the first view, then all of the second, and so on.

    What is drawn depends on the view and the number of the copy alone, so that features of copies
    are found again in the store.

    Args:
        views: without augmentation.
        copies: of each view.
    """
    return [
        replace(view, augmentation=drawn_augmentation(f"{view.key} {number}"))
        for view in views
        for number in range(copies)
    ]


def relit_views(views: Sequence[View]) -> list[View]:
    """Return views under each of :data:`LIGHTINGS`: all of the first view, then of the second.

    Args:
        views: without augmentation.
    """
    return [replace(view, augmentation=lighting) for view in views for lighting in LIGHTINGS]
