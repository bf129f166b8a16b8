"""The images of a folder: finding them, and checking that each can be decoded."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.coverage import Coverage
from segdistill.decoding.decode import (
    UnreadableImageError,
    content_hash,
    decode_stored,
    read_picture,
)
from segdistill.decoding.geotiff import is_raster
from segdistill.decoding.ignore_masks import with_ignored
from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS, ImageReading
from segdistill.decoding.pictures import Picture
from segdistill.errors import UserError
from segdistill.files import read_file
from segdistill.images.finding import ImageFile, find_all, find_images
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.progress import progress_bar

__all__ = [
    "CheckedImage",
    "ImageFile",
    "SkippedImage",
    "check_images",
    "find_all",
    "find_images",
    "read_checked",
    "read_with_digest",
]

CHECKING_THREADS = 4


@dataclass(frozen=True)
class CheckedImage:
    """An image that was decoded completely.

    Attributes:
        file: the image file.
        digest: fingerprint of the file's content, and of all else that determines its pixels.
        height: height of the upright image, in pixels.
        width: width of the upright image, in pixels.
        reading: how the file is read.
        coverage: which parts have a value; ``None`` if all have.
    """

    file: ImageFile
    digest: str
    height: int
    width: int
    reading: ImageReading = AS_EACH_FILE_SAYS
    coverage: Coverage | None = None


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be used, and why."""

    file: ImageFile
    reason: str


def check_images(
    files: Iterable[ImageFile],
    *,
    reading: ImageReading = AS_EACH_FILE_SAYS,
    strict: bool = False,
    progress: bool = False,
    group: Group = SINGLE_PROCESS,
) -> tuple[list[CheckedImage], list[SkippedImage]]:
    """Decode every image once, so that later stages see no damaged files.

    Args:
        files: images from :func:`find_images`.
        reading: how images are read.
        strict: whether to raise at the first image that cannot be read.
        progress: whether to show a progress bar.
        group: processes that share the work.

    Returns:
        The images that can be used and those that cannot, both in the given order.

    Raises:
        UnreadableImageError: with ``strict``, for the first damaged image.
        UserError: none of the images can be read.
    """
    files = list(files)
    results = group.map_shared(
        files, lambda share: _check_each(share, reading, strict=strict, progress=progress)
    )
    checked = [each for each in results if isinstance(each, CheckedImage)]
    skipped = [each for each in results if isinstance(each, SkippedImage)]
    if not checked:
        first = skipped[0].reason if skipped else "no files were given"
        several = f"none of {len(files)} images can be read; the first: "
        raise UserError(first if len(files) == 1 else several + first)
    return checked, skipped


def _check_each(
    files: Sequence[ImageFile], reading: ImageReading, *, strict: bool, progress: bool
) -> list[CheckedImage | SkippedImage]:
    results: list[CheckedImage | SkippedImage] = []
    with (
        progress_bar("Checking images", len(files), shown=progress) as advance,
        ThreadPoolExecutor(CHECKING_THREADS) as pool,
    ):
        for result in pool.map(partial(_check_image, reading=reading), files):
            advance(1)
            if strict and isinstance(result, SkippedImage):
                pool.shutdown(cancel_futures=True)
                raise UnreadableImageError(
                    f"{result.reason}; fix or remove it, or omit --strict to skip it"
                )
            results.append(result)
    return results


def _check_image(
    file: ImageFile, reading: ImageReading = AS_EACH_FILE_SAYS
) -> CheckedImage | SkippedImage:
    try:
        digest, picture = read_with_digest(file, reading)
    except UnreadableImageError as error:
        return SkippedImage(file, str(error))
    except OSError as error:
        why = LEADS_NOWHERE if leads_nowhere(file.path) else error.strerror or error
        return SkippedImage(file, f"{file.path}: {why}")
    height, width = picture.pixels.shape[:2]
    if picture.valid is None:
        return CheckedImage(file, digest, height, width, reading)
    if not picture.valid.any():
        return SkippedImage(file, f"{file.path}: no pixel has a value")
    return CheckedImage(file, digest, height, width, reading, Coverage.of(picture.valid))


def read_checked(image: CheckedImage) -> NDArray[np.uint8]:
    """Read a checked image again, shape (height, width, 3).

    Raises:
        UnreadableImageError: it can no longer be read, or its file is no longer the one that was
            checked: what is made of it would be stored under the digest of the former.
    """
    digest, picture = read_with_digest(image.file, image.reading)
    if digest != image.digest:
        raise UnreadableImageError(
            f"{image.file.path}: has changed since it was checked; do not change images while they"
            " are in use, and run the command again"
        )
    return picture.pixels


def read_with_digest(file: ImageFile, reading: ImageReading) -> tuple[str, Picture]:
    """Return a digest of all that determines an image's pixels, and the image.

    Raises:
        UnreadableImageError: the file or its mask is missing, truncated or not an image.
        OSError: a raster cannot be opened.
    """
    if is_raster(file.path):
        picture, plain = read_picture(file.path, reading), False
        with file.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "blake2b").hexdigest()
    else:
        try:
            content = read_file(file.path)
        except OSError as error:
            why = LEADS_NOWHERE if leads_nowhere(file.path) else error.strerror or error
            raise UnreadableImageError(f"{file.path}: {why}") from error
        stored = decode_stored(content, name=str(file.path))
        picture, plain = stored.shown(reading), stored.is_8_bit
        digest = content_hash(content)
    if file.ignore is not None:
        picture = with_ignored(picture, file.ignore, str(file.path), reading)
        digest = content_hash(f"{digest} {content_hash(read_file(file.ignore))}".encode())
    if not plain or picture.valid is not None:
        # The pixels depend on the reading, and so do their features.
        digest = content_hash(f"{digest} {reading.key}".encode())
    return digest, picture
