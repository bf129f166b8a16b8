"""The images of a folder: finding them, and checking that each can be decoded."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError, content_hash, decode_image, read_image
from segdistill.images.finding import ImageFile, find_all, find_images
from segdistill.images.geotiff import is_raster
from segdistill.images.raster_reading import RasterReading
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
]

CHECKING_THREADS = 4


@dataclass(frozen=True)
class CheckedImage:
    """An image that was decoded completely.

    Attributes:
        file: the image file.
        digest: fingerprint of the file's content and of how a GeoTIFF is read.
        height: height of the upright image, in pixels.
        width: width of the upright image, in pixels.
        raster: how the file is read, if it is a GeoTIFF.
    """

    file: ImageFile
    digest: str
    height: int
    width: int
    raster: RasterReading | None = None


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be used, and why."""

    file: ImageFile
    reason: str


def check_images(
    files: Iterable[ImageFile],
    *,
    raster: RasterReading | None = None,
    strict: bool = False,
    progress: bool = False,
    group: Group = SINGLE_PROCESS,
) -> tuple[list[CheckedImage], list[SkippedImage]]:
    """Decode every image once, so that later stages see no damaged files.

    Args:
        files: images from :func:`find_images`.
        raster: how GeoTIFFs are read.
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
        files, lambda share: _check_each(share, raster, strict=strict, progress=progress)
    )
    checked = [each for each in results if isinstance(each, CheckedImage)]
    skipped = [each for each in results if isinstance(each, SkippedImage)]
    if not checked:
        first = skipped[0].reason if skipped else "no files were given"
        raise UserError(f"none of {len(files)} images can be read; the first: {first}")
    return checked, skipped


def _check_each(
    files: Sequence[ImageFile], raster: RasterReading | None, *, strict: bool, progress: bool
) -> list[CheckedImage | SkippedImage]:
    results: list[CheckedImage | SkippedImage] = []
    with (
        progress_bar("Checking images", len(files), shown=progress) as advance,
        ThreadPoolExecutor(CHECKING_THREADS) as pool,
    ):
        for result in pool.map(partial(_check_image, raster=raster), files):
            advance(1)
            if strict and isinstance(result, SkippedImage):
                pool.shutdown(cancel_futures=True)
                raise UnreadableImageError(
                    f"{result.reason}; fix or remove it, or leave --strict out to skip it"
                )
            results.append(result)
    return results


def _check_image(
    file: ImageFile, raster: RasterReading | None = None
) -> CheckedImage | SkippedImage:
    reading = None
    try:
        if is_raster(file.path):
            reading = raster or RasterReading()
            image = read_image(file.path, reading)
            with file.path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "blake2b").hexdigest()
            # The pixels of a file depend on the reading, and so do its features.
            content = f"{digest} {reading.key}".encode()
        else:
            content = file.path.read_bytes()
            image = decode_image(content, name=str(file.path))
    except UnreadableImageError as error:
        return SkippedImage(file, str(error))
    except OSError as error:
        why = LEADS_NOWHERE if leads_nowhere(file.path) else error.strerror or error
        return SkippedImage(file, f"{file.path}: {why}")
    return CheckedImage(file, content_hash(content), image.shape[0], image.shape[1], reading)
