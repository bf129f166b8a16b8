"""The masks of a folder, and the images that they were made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.images.finding import ImageFile, find_all, picture_names, search_folder
from segdistill.images.labels import VOID, read_labels

SUFFIXES = (".png", ".tif")
UPRIGHT = 1
"""The EXIF orientation of an image whose first row is its top."""

_ORIENTATION = 0x0112
_ON_THEIR_SIDE = frozenset([5, 6, 7, 8])


@dataclass(frozen=True)
class MaskFile:
    """A mask that was found.

    Attributes:
        path: where it lies.
        name: its path relative to the folder of masks; ends in ``.png`` or, of GeoTIFFs, ``.tif``.
        image: what it was made of, if the images were given.
    """

    path: Path
    name: Path
    image: ImageFile | None = None

    @property
    def stem(self) -> str:
        """The name without its ending, with ``/`` between folders."""
        return self.name.with_suffix("").as_posix()

    @property
    def image_name(self) -> str:
        """The image's relative name; the mask's own where the image is not known."""
        return (self.image or self).name.as_posix()


def find_masks(folder: Path, images: Sequence[str | Path] | None = None) -> list[MaskFile]:
    """List the masks of a folder, each with its image.

    Args:
        folder: that ``segdistill segment`` wrote to.
        images: sources that were segmented, if they matter.

    Returns:
        The masks, sorted by name; one whose image is not there has none.

    Raises:
        UserError: no mask is there, or no image.
    """
    found = [each for each in search_folder(folder).images if each.path.suffix in SUFFIXES]
    if not found:
        raise UserError(
            f"{folder}: no masks there; give the folder that `segdistill segment` wrote"
        )
    known = {} if images is None else by_mask_name(find_all(images))
    masks = [MaskFile(each.path, each.name, known.get(each.name)) for each in found]
    if images is not None and not any(mask.image for mask in masks):
        raise UserError(
            f"{', '.join(map(str, images))}: none of {len(masks)} masks, such as {masks[0].name},"
            " has an image there; give what was segmented"
        )
    return sorted(masks, key=lambda mask: mask.name.as_posix())


def by_mask_name(images: Sequence[ImageFile]) -> dict[Path, ImageFile]:
    """Return images by the names of the masks that are made of them.

    Example:
        >>> images = [ImageFile(Path(n), Path(n)) for n in ("a.jpg", "b.jpg", "b.tif")]
        >>> {mask.name: image.name.name for mask, image in by_mask_name(images).items()}
        {'a.png': 'a.jpg', 'b.jpg.png': 'b.jpg', 'b.tif.png': 'b.tif'}
    """
    from segdistill.inference.folder import mask_names  # noqa: PLC0415 - takes seconds

    # A mask of a GeoTIFF may also be a PNG: of an older version, or made elsewhere.
    names = (*mask_names(images), *picture_names(images))
    return dict(zip(names, (*images, *images), strict=True))


def read_mask(path: Path, classes: int) -> NDArray[np.uint8]:
    """Read a mask.

    Args:
        path: of a palette PNG or a GeoTIFF.
        classes: number of classes that it was written with.

    Returns:
        Class indices, 255 where nothing is known, shape (height, width).

    Raises:
        UserError: it is damaged, or holds other values.
    """
    mask = read_labels(path)
    beyond = mask[(mask >= classes) & (mask != VOID)]
    if beyond.size:
        raise UserError(
            f"{path}: holds the value {beyond.max()}, but the masks have {classes} classes"
        )
    return mask.astype(np.uint8)


def check_size(mask: NDArray[np.uint8], image: ImageFile) -> None:
    """Check that a mask has the size of its image, upright; only the image's head is read.

    Images that Pillow does not know, such as those of many bands, pass.

    Raises:
        UserError: it has not.
    """
    head = _size_and_orientation(image.path)
    if head is None:
        return
    (width, height), orientation = head
    if orientation in _ON_THEIR_SIDE:
        width, height = height, width
    if mask.shape != (height, width):
        raise misfit(mask, image.path, (height, width))


def misfit(mask: NDArray[np.uint8], path: Path, size: tuple[int, int]) -> UserError:
    """Return the error for a mask that has not the size of its image.

    Args:
        mask: shape (height, width).
        path: of the image.
        size: its height and width.
    """
    return UserError(
        f"{path}: {size[1]} x {size[0]} pixels, but its mask has"
        f" {mask.shape[1]} x {mask.shape[0]}; give what was segmented"
    )


def is_upright(path: Path) -> bool:
    """Return whether an image is not turned by its EXIF orientation, as far as Pillow can tell."""
    head = _size_and_orientation(path)
    return head is None or head[1] == UPRIGHT


def _size_and_orientation(path: Path) -> tuple[tuple[int, int], int] | None:
    try:
        with Image.open(path) as image:
            return image.size, int(image.getexif().get(_ORIENTATION, UPRIGHT))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's readers report damage with errors of many classes
        return None
