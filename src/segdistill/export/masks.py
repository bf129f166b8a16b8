"""The masks of a folder and their images."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from segdistill.decoding.pillow_images import opened_quietly
from segdistill.errors import UserError
from segdistill.images.finding import ImageFile, find_all, output_names, search_folder
from segdistill.images.matching import normal_name
from segdistill.images.palette import VOID
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.inference.options import OVERLAY, RASTER_SUFFIX
from segdistill.labels.label_files import read_labels

SUFFIXES = (".png", ".tif")
UPRIGHT = 1
"""EXIF orientation of an image that is not rotated or mirrored; 5 to 8 swap its sides."""


@dataclass(frozen=True)
class MaskFile:
    """A mask file.

    Attributes:
        path: path of the mask.
        name: path relative to the mask folder; ends in ``.png``, or ``.tif`` for GeoTIFFs.
        image: the segmented image, if images were given.
    """

    path: Path
    name: Path
    image: ImageFile | None = None

    @property
    def stem(self) -> str:
        """The POSIX name without its suffix."""
        return self.name.with_suffix("").as_posix()

    @property
    def image_name(self) -> str:
        """The relative name of the image, or of the mask if the image is not known."""
        return (self.image or self).name.as_posix()


def find_masks(folder: Path, images: Sequence[str | Path] | None = None) -> list[MaskFile]:
    """List the masks of a folder by name, each with its image if images are given and it is found.

    Raises:
        UserError: there are no masks, or none of them has an image.
    """
    found = [each for each in search_folder(folder).images if each.path.suffix in SUFFIXES]
    names = {each.name for each in found}
    found = [each for each in found if not _is_overlay(each.name, names)]
    if not found:
        raise UserError(f"{folder}: no masks found; pass the output folder of `segdistill segment`")
    known = {} if images is None else _by_mask_name(find_all(images))
    masks = [MaskFile(each.path, each.name, known.get(normal_name(each.name))) for each in found]
    if images is not None and not any(mask.image for mask in masks):
        raise UserError(
            f"{', '.join(map(str, images))}: no images found for the {len(masks)} masks"
            f" (e.g. {masks[0].name}); pass the images that were segmented"
        )
    return sorted(masks, key=lambda mask: mask.name.as_posix())


def _is_overlay(name: Path, names: Collection[Path]) -> bool:
    """Return whether a file is the overlay of a GeoTIFF, whose mask lies next to it."""
    stem = name.name.removesuffix(f"{OVERLAY}{RASTER_SUFFIX}")
    return stem != name.name and name.with_name(f"{stem}{RASTER_SUFFIX}") in names


def _by_mask_name(images: Sequence[ImageFile]) -> dict[str, ImageFile]:
    """Return images by the names of their masks, in one Unicode form."""
    from segdistill.inference.plan import mask_names  # noqa: PLC0415 - takes seconds

    # Masks of GeoTIFFs may be PNGs, from an older version or another program.
    names = (*(name for (name,) in mask_names(images)), *output_names(images))
    return dict(zip(map(normal_name, names), (*images, *images), strict=True))


def read_mask(file: MaskFile, classes: int) -> NDArray[np.uint8]:
    """Read a mask, and check that it has the size of its image if that is known.

    Only the header of the image is read. Images that Pillow cannot open, such as multi-band
    rasters, are not checked.

    Args:
        file: a palette PNG or GeoTIFF.
        classes: number of classes that the mask may contain.

    Returns:
        Class indices, 255 for no data, shape (height, width).

    Raises:
        UserError: the file is damaged or contains other values, or the sizes differ.
    """
    if leads_nowhere(file.path):
        raise UserError(f"{file.path}: {LEADS_NOWHERE}")
    mask = read_labels(file.path)
    beyond = mask[(mask >= classes) & (mask != VOID)]
    if beyond.size:
        raise UserError(
            f"{file.path}: contains the value {beyond.max()}, but the masks have {classes} classes"
        )
    if file.image is not None:
        size, orientation = _size_and_orientation(file.image.path)
        if size is not None and orientation > 4:
            size = size[::-1]
        check_size(mask, file.image.path, size)
    return mask.astype(np.uint8)


def check_size(mask: NDArray[np.integer], path: Path, size: tuple[int, int] | None) -> None:
    """Check that a mask has the size of its image, its height and width, if that is known.

    Raises:
        UserError: the sizes differ.
    """
    if size is not None and mask.shape != size:
        raise UserError(
            f"{path}: {size[1]} x {size[0]} pixels, but its mask has"
            f" {mask.shape[1]} x {mask.shape[0]}; pass the images that were segmented"
        )


def is_upright(path: Path) -> bool:
    """Return whether an image has no EXIF rotation or mirroring, as far as Pillow can tell."""
    return _size_and_orientation(path)[1] == UPRIGHT


def _size_and_orientation(path: Path) -> tuple[tuple[int, int] | None, int]:
    """Return the stored height and width of an image, if readable, and its EXIF orientation."""
    try:
        with opened_quietly(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
            return (image.height, image.width), int(orientation)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises many error types for damaged files
        return None, UPRIGHT
