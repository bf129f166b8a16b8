"""Masks, overlays and class scores of images: making and writing them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.files import atomic_path
from segdistill.images.palette import VOID
from segdistill.inference.options import MaskOptions
from segdistill.model.description import SegmentClass
from segdistill.refinement.crf_refinement import refined_mask
from segdistill.refinement.region_cleanup import absorb_small_regions, min_pixels
from segdistill.refinement.upsampling import Upsampling, upsampled_bands, upsampled_mask

OVERLAY_OPACITY = 0.55
OVERLAY_QUALITY = 90


def write_mask(path: Path, mask: NDArray[np.uint8], classes: Sequence[SegmentClass]) -> None:
    """Write a mask as a palette PNG: values are class indices, shown in the class colours.

    Args:
        path: output file.
        mask: class indices, shape (height, width).
        classes: classes that define the palette.
    """
    image = Image.fromarray(mask)
    palette = [value for each in classes for value in each.colour]
    opacity = {}
    if (mask == VOID).any():
        # Pixels without a class are transparent. With fewer colours, Pillow stores fewer bits.
        palette += [0] * (3 * (VOID + 1) - len(palette))
        opacity = {"transparency": VOID}
    image.putpalette(palette)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", **opacity)


def mask_from_scores(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    options: MaskOptions,
    valid: NDArray[np.bool_] | None = None,
    *,
    detail: float = 0.0,
) -> NDArray[np.uint8]:
    """Compute the mask of an image: upsample or refine the scores, and absorb small regions.

    Args:
        scores: class scores on a grid, shape (1, classes, h, w).
        image: image covered by the grid, shape (height, width, 3).
        options: segmentation options.
        valid: valid pixels, shape (height, width); ``None`` if all are valid.
        detail: see :class:`~segdistill.model.description.SegmenterSettings`.

    Returns:
        Class indices of shape (height, width); 255 where no pixel is valid.
    """
    if options.crf:
        mask = refined_mask(scores, image)
    else:
        mask = upsampled_mask(scores, image, upsampling=options.upsampling, detail=detail)
    smallest = min_pixels(options.min_region, *mask.shape)
    if valid is None or valid.all():
        return absorb_small_regions(mask, smallest)
    return absorb_small_regions(np.where(valid, mask, np.uint8(VOID)), smallest)


def overlay(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    classes: Sequence[SegmentClass],
    *,
    opacity: float = OVERLAY_OPACITY,
) -> NDArray[np.uint8]:
    """Blend the class colours of a mask with its image.

    Args:
        image: shape (height, width, 3).
        mask: class indices, shape (height, width).
        classes: classes that define the colours; hidden classes and 255 are transparent.
        opacity: opacity of the colours, in 0..1.

    Returns:
        Array of shape (height, width, 3).

    Example:
        >>> from segdistill.model.description import numbered_classes
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> overlay(image, np.ones((4, 6), np.uint8), numbered_classes(2)).shape
        (4, 6, 3)
    """
    colours, shown = np.zeros((VOID + 1, 3), np.float32), np.zeros(VOID + 1, np.float32)
    colours[: len(classes)] = [each.colour for each in classes]
    shown[: len(classes)] = [opacity * (not each.hidden) for each in classes]
    weights = shown[mask][..., None]  # (height, width) -> (height, width, 1)
    mixed = image.astype(np.float32) * (1 - weights) + colours[mask] * weights
    return np.round(mixed).astype(np.uint8)


def write_overlay(
    path: Path,
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    classes: Sequence[SegmentClass],
) -> None:
    """Write an overlay as JPEG."""
    with atomic_path(path) as temporary:
        Image.fromarray(overlay(image, mask, classes)).save(
            temporary, format="JPEG", quality=OVERLAY_QUALITY
        )


def write_scores(
    path: Path,
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    upsampling: Upsampling = "guided",
    detail: float = 0.0,
) -> None:
    """Write full-size class scores as a float16 NumPy file, band by band.

    The file holds the cosine similarity with each cluster centre, in -1..1, of shape (height,
    width, classes).

    Args:
        path: output file.
        scores: class scores on a grid, shape (1, classes, h, w).
        image: image covered by the grid, shape (height, width, 3).
        upsampling: upsampling method.
        detail: see :class:`~segdistill.model.description.SegmenterSettings`.
    """
    shape = (*image.shape[:2], scores.shape[1])
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    # Not memory-mapped: a full disk would then be a crash instead of an error.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, band in upsampled_bands(scores, image, upsampling=upsampling, detail=detail):
            # (classes, rows, width) -> (rows, width, classes)
            pixels = band.clamp(-1, 1).permute(1, 2, 0).half()
            file.write(pixels.contiguous().numpy().tobytes())
