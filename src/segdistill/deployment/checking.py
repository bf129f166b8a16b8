"""Checks that an exported graph gives the same outputs as the model."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.deployment.graph import SegmenterGraph
from segdistill.errors import UserError

TOLERANCE = 1e-3
"""Maximum absolute difference of class scores, which are cosine similarities."""

Runner = Callable[[NDArray[np.float32]], list[NDArray[Any]]]
"""Runs an exported graph: images (batch, 3, height, width) to its outputs."""


def check_graph(graph: SegmenterGraph, run: Runner, name: str) -> float:
    """Compare the outputs of an exported graph and of the model at several sizes.

    Returns:
        The largest absolute difference of class scores.

    Raises:
        UserError: scores differ by more than :data:`TOLERANCE`, or masks differ away from ties.
    """
    largest = 0.0
    for images in _images_to_check(graph):
        with torch.no_grad():
            expected = graph(images)
        scores, *masks = run(images.numpy())
        size = f"{len(images)} x {images.shape[2]} x {images.shape[3]}"
        difference = _difference(expected[0].numpy(), scores)
        if not difference <= TOLERANCE:  # also true for NaN
            raise UserError(
                f"{name}: class scores at {size} differ from the model's by {difference:.2g}, more"
                f" than {TOLERANCE:g}; nothing was written. Please report this and the backbone"
            )
        if masks and not _masks_agree(expected[0], expected[1], masks[0]):
            raise UserError(
                f"{name}: masks at {size} differ from the model's; nothing was written."
                " Please report this and the backbone"
            )
        largest = max(largest, difference)
    return largest


def check_runs(graph: SegmenterGraph, run: Runner, name: str) -> None:
    """Check that a quantised graph runs and gives finite scores at several sizes.

    The arguments are those of :func:`check_graph`.

    Raises:
        UserError: scores are not finite, or have the wrong shape.
    """
    segmenter = graph.segmenter
    for images in _images_to_check(graph):
        scores = run(images.numpy())[0]
        stride = segmenter.backbone.stride
        grid = (images.shape[2] // stride, images.shape[3] // stride)
        if (
            scores.shape != (len(images), len(segmenter.classes), *grid)
            or not np.isfinite(scores.astype(np.float32)).all()
        ):
            raise UserError(f"{name}: invalid scores with 8-bit weights; omit --int8")


def _images_to_check(graph: SegmenterGraph) -> Iterator[torch.Tensor]:
    """Yield images of small and elongated sizes, and of the resolution in squares and in 4:3."""
    multiple = graph.segmenter.backbone.size_multiple
    side = max(2, round(graph.segmenter.settings.resolution / multiple))
    grids = [(1, 2, 2), (3, 4, 2), (2, 3, 5), (1, side, side), (1, side, side * 4 // 3)]
    generator = torch.Generator().manual_seed(0)
    for batch, rows, columns in grids:
        yield torch.rand(batch, 3, rows * multiple, columns * multiple, generator=generator)


def _difference(expected: NDArray[np.float32], given: NDArray[Any]) -> float:
    if expected.shape != given.shape:
        return float("inf")
    return float(np.abs(expected - given).max())


def _masks_agree(scores: torch.Tensor, expected: torch.Tensor, given: NDArray[Any]) -> bool:
    """Return whether masks agree, except where the best two classes are nearly tied."""
    if expected.shape != given.shape:
        return False
    if scores.shape[1] == 1:
        return not given.any()
    pixels = F.interpolate(scores, size=expected.shape[1:], mode="bilinear", align_corners=False)
    first, second = pixels.topk(2, dim=1).values.unbind(dim=1)  # (b, classes, H, W) -> (b, H, W)
    clear = (first - second > 2 * TOLERANCE).numpy()
    return bool((given == expected.numpy())[clear].all())
