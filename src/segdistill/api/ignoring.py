"""Ignore masks: images that say which pixels of other images mean nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segdistill.engines.work import Image
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile, find_images
from segdistill.images.matching import match_labels


def with_ignore_masks(files: Sequence[ImageFile], folder: Path | None) -> list[ImageFile]:
    """Return images with the ignore masks of the same relative names.

    Args:
        files: images; those without a mask stay as they are.
        folder: folder of the masks; ``None`` for none.

    Raises:
        UserError: no image has a mask, or one has several.
    """
    if folder is None:
        return list(files)
    matched = match_labels(files, find_images(folder), kind="pixel mask")
    masks = {image: mask.path for image, mask in matched}
    return [replace(file, ignore=masks.get(file)) for file in files]


def find_ignore_masks(
    images: Sequence[Image], videos: Sequence[Path], folder: Path | None
) -> tuple[list[Image], dict[Path, Path]]:
    """Find the ignore masks of images and videos.

    Returns:
        The images with their masks, and the masks of the videos that have one.

    Raises:
        UserError: nothing has a mask, one has several, or an image is remote.
    """
    if folder is None:
        return list(images), {}
    local = [image for image in images if isinstance(image, ImageFile)]
    if len(local) < len(images):
        raise UserError("--ignore-mask: needs local images; copy them with `segdistill fetch`")
    clips = [ImageFile(video, Path(video.name)) for video in videos]
    found = with_ignore_masks([*local, *clips], folder)
    masks = {clip.path: clip.ignore for clip in found[len(local) :] if clip.ignore is not None}
    return [*found[: len(local)]], masks
