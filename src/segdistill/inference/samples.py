"""A few images of a set, segmented, to be looked at."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.decode import UnreadableImageError
from segdistill.decoding.pictures import Picture
from segdistill.images.folder import ImageFile
from segdistill.images.palette import VOID
from segdistill.images.resize import resize_image
from segdistill.model.segmenter import Segmenter
from segdistill.objective.clusters import class_similarity, cluster_similarity
from segdistill.passes import in_passes
from segdistill.prefetch import in_threads, worker_threads
from segdistill.progress import progress_bar
from segdistill.refinement.upsampling import cleaned_mask

logger = logging.getLogger("segdistill")

LONGEST_SIDE = 640
"""Longer side, in pixels, to which images are reduced for a page."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Sample:
    """A reduced image with its mask.

    Attributes:
        file: of the image.
        image: shape (height, width, 3).
        mask: class indices, shape (height, width); 255 where the image has no value.
        similarity: cosine similarity of the cells to the centres of all clusters, shape (1,
            clusters, h, w), of which masks of other groupings can be made; ``None`` if not kept.
    """

    file: ImageFile
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    similarity: torch.Tensor | None = None


def evenly_spread(items: Sequence[Item], count: int) -> list[Item]:
    """Select evenly spaced items, including the first and the last.

    Example:
        >>> evenly_spread("abcdefghi", 3)
        ['a', 'e', 'i']
    """
    if count >= len(items):
        return list(items)
    if count < 2:
        return list(items[:count])
    last = len(items) - 1
    return [items[number * last // (count - 1)] for number in range(count)]


def reduced_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return height and width with the longer side at most ``longest``, each at least 1.

    Example:
        >>> reduced_size(480, 1280, 640), reduced_size(1, 5000, 640), reduced_size(30, 40, 640)
        ((240, 640), (1, 640), (30, 40))
    """
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def read_images(
    segmenter: Segmenter, files: Sequence[ImageFile], *, label: str, progress: bool = False
) -> Iterator[tuple[ImageFile, NDArray[np.uint8]]]:
    """Yield files with their images; unreadable ones are skipped with a warning.

    See :func:`read_pictures`.
    """
    for file, picture in read_pictures(segmenter, files, label=label, progress=progress):
        yield file, picture.pixels


def read_pictures(
    segmenter: Segmenter, files: Sequence[ImageFile], *, label: str, progress: bool = False
) -> Iterator[tuple[ImageFile, Picture]]:
    """Yield files with their pictures; unreadable ones are skipped with a warning.

    Args:
        segmenter: determines how images are read.
        files: to read.
        label: of the progress bar.
        progress: show a progress bar.
    """
    with progress_bar(label, len(files), shown=progress) as advance:
        for file in files:
            try:
                picture = segmenter.read_picture(file.path, file.ignore)
            except UnreadableImageError as error:
                logger.warning("skipped: %s", error)
            else:
                yield file, picture
            advance(1)


def segment_samples(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    label: str,
    longest: int = LONGEST_SIDE,
    progress: bool = False,
) -> list[Sample]:
    """Segment images and reduce them.

    Images that have become unreadable since the fit are skipped with a warning, so that the run
    still gets its report.

    Args:
        segmenter: on its device.
        files: to segment.
        label: of the progress bar.
        longest: longer side, in pixels, to which images are reduced.
        progress: show a progress bar.

    Returns:
        One sample for each readable image, in the order given.
    """
    centres = segmenter.centres.cpu()
    members = [each.members for each in segmenter.classes]
    pictures = read_pictures(segmenter, files, label=label, progress=progress)

    def encode(each: tuple[ImageFile, Picture]) -> tuple[ImageFile, Picture, torch.Tensor]:
        file, picture = each
        return file, picture, cluster_similarity(segmenter.grid_codes(picture.pixels), centres)

    def sample(each: tuple[ImageFile, Picture, torch.Tensor]) -> Sample:
        file, picture, similarity = each
        image = picture.displayed
        reduced = resize_image(image, reduced_size(image.shape[0], image.shape[1], longest))
        scores = class_similarity(similarity, members)
        mask = cleaned_mask(scores, reduced, detail=segmenter.settings.detail)
        return Sample(file, reduced, without_class(mask, picture.valid), similarity)

    # Masks are drawn while the network is at work on the next images.
    threads = worker_threads()
    encoded = in_passes(encode, pictures, segmenter.budget, count=len(files))
    return list(in_threads(sample, encoded, threads=threads, ahead=2 * threads))


def without_class(mask: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Return a mask with 255 where an image, of which it may be a reduced copy, has no value."""
    if valid is None:
        return mask
    size = (mask.shape[1], mask.shape[0])
    reduced = Image.fromarray(valid).resize(size, Image.Resampling.NEAREST)
    return np.where(np.asarray(reduced), mask, np.uint8(VOID))


def class_pixels(masks: Sequence[NDArray[np.uint8]], classes: int) -> NDArray[np.int64]:
    """Count the pixels of each class in each mask.

    Args:
        masks: class indices, of any shapes; others are not counted.
        classes: number of classes.

    Returns:
        Array of shape (masks, classes).

    Example:
        >>> class_pixels([np.array([[0, 2, 2]], np.uint8)], 3).tolist()
        [[1, 0, 2]]
    """
    counts = np.zeros((len(masks), classes), np.int64)
    for number, mask in enumerate(masks):
        counts[number] = np.bincount(mask.ravel(), minlength=classes)[:classes]
    return counts


def shares_of(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each class along the last axis; zeros where there are no pixels.

    Example:
        >>> shares_of(np.array([[1, 3], [0, 0]])).tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    total = pixels.sum(axis=-1, keepdims=True)
    shares: NDArray[np.float64] = pixels / np.maximum(total, 1)
    return shares
