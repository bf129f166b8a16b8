"""Views, the inputs of the backbone: images, crops and augmented copies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.coverage import valid_cells
from segdistill.decoding.decode import content_hash
from segdistill.images.augmentation import Augmentation, drawn_augmentation
from segdistill.images.depth_view import seen_region
from segdistill.images.folder import CheckedImage, read_checked
from segdistill.images.lighting import LIGHTINGS, Lighting
from segdistill.images.resize import Crop, CropKind, Viewing, crops_of

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class View:
    """An image or a crop, at the input size of the backbone.

    Attributes:
        image: the image.
        crop: the visible part of the image.
        viewing: how the crop is resized for the backbone.
        augmentation: augmentation after resizing, or ``None``.
    """

    image: CheckedImage
    crop: Crop
    viewing: Viewing
    augmentation: Augmentation | Lighting | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the backbone input, in pixels."""
        rows, columns = self.crop.pixels(self.image.height, self.image.width)
        return self.viewing.sizes(rows.stop - rows.start, columns.stop - columns.start)[1]

    @property
    def scale(self) -> float:
        """Pixels of the backbone input per image pixel, along the shorter side."""
        rows, columns = self.crop.pixels(self.image.height, self.image.width)
        height, width = int(rows.stop - rows.start), int(columns.stop - columns.start)
        return min(self.viewing.sizes(height, width)[0]) / min(height, width)

    @property
    def key(self) -> str:
        """Key in the feature store: a hash of content, crop, size and augmentation."""
        height, width = self.size
        text = f"{self.image.digest} {self.crop.key} {height}x{width}"
        if self.viewing.square or self.viewing.resampling != "bicubic":
            text += f" {self.viewing.square} {self.viewing.resampling}"
        if self.augmentation is not None:
            text += f" {self.augmentation.key}"
        return content_hash(text.encode())

    def cut(self, array: NDArray[Value]) -> NDArray[Value]:
        """Crop an array that covers the image, such as labels, to the region of the view.

        Args:
            array: shape (height, width, ...), at any resolution.
        """
        size = (self.image.height, self.image.width)
        rows, columns = seen_region(size, self.crop, self.viewing).pixels(*array.shape[:2])
        return array[rows, columns]

    def load(self) -> NDArray[np.uint8]:
        """Decode, crop, resize and augment the image, to shape (*size, 3)."""
        return self.render(read_checked(self.image))

    def valid_cells(self, grid: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Return which cells of the view's feature map have a value; ``None`` if all have.

        An augmented copy that moves the content has those of the original.

        Args:
            grid: height and width of the feature map.
        """
        if self.image.coverage is None:
            return None
        return valid_cells(self.cut(self.image.coverage.shares), grid)

    def render(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop, resize and augment a decoded image, (height, width, 3) to (*size, 3)."""
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

    Crops (see :func:`crops_of`) are resized to the same resolution as whole images, so they show
    more detail. The seed of random crops is combined with the image content.
    """
    return [
        View(image, crop, viewing)
        for image in images
        for crop in crops_of(crops, crop_ratio, seed=f"{seed} {image.digest}")
    ]


def augmented_views(views: Sequence[View], copies: int) -> list[View]:
    """Return augmented copies of each view, grouped by view.

    The augmentation only depends on the view and the index of the copy, so features of copies can
    be reused from the store.
    """
    return [
        replace(view, augmentation=drawn_augmentation(f"{view.key} {number}"))
        for view in views
        for number in range(copies)
    ]


def relit_views(views: Sequence[View]) -> list[View]:
    """Return each view under each of :data:`LIGHTINGS`, grouped by view."""
    return [replace(view, augmentation=lighting) for view in views for lighting in LIGHTINGS]
