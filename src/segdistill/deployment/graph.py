"""A model as one graph from images to class scores, traced once for all sizes."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim, ExportedProgram

from segdistill.model.segmenter import Segmenter

IMAGES = "images"
SCORES = "scores"
MASKS = "masks"

MOST_MULTIPLES = 4096
"""Bounds per side, in multiples of the backbone's: tracing wants a bound."""

# Sizes of 0 and 1 are numbers to the tracer, all others symbols; sides differ, or would be one.
EXAMPLE = (2, 3, 5)
"""Images, and their rows and columns as multiples of the backbone's, to trace with."""


class SegmenterGraph(nn.Module):
    """From images to class scores and, if wanted, masks.

    Args:
        segmenter: on the CPU.
        masks: also give the best class of each pixel.

    Shapes: (batch, 3, height, width) in 0..1, sides multiples of the backbone's
    ``size_multiple``, to class scores (cosine similarities in -1..1) of shape (batch, classes,
    height / stride, width / stride) and, with ``masks``, class indices (8-bit) of shape (batch,
    height, width).
    """

    def __init__(self, segmenter: Segmenter, *, masks: bool = False) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.masks = masks
        self.eval()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it gives."""
        return (SCORES, MASKS) if self.masks else (SCORES,)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return class scores and masks; see the class."""
        scores = self.segmenter(images)
        return (scores, bilinear_masks(scores, images)) if self.masks else (scores,)


@dataclass(frozen=True)
class TracedGraph:
    """A graph, and what tracing made of it.

    Attributes:
        graph: the module.
        program: its operations, for any number of images of any size.
    """

    graph: SegmenterGraph
    program: ExportedProgram


def bilinear_masks(scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the class whose score, enlarged bilinearly to pixels, is the largest.

    Args:
        scores: shape (batch, classes, h, w), at most 256 classes.
        images: shape (batch, 3, height, width); only their size counts.

    Returns:
        Class indices, 8-bit, of shape (batch, height, width).

    Example:
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).view(1, 2, 1, 2)
        >>> bilinear_masks(scores, torch.zeros(1, 3, 1, 4)).tolist()
        [[[0, 0, 1, 1]]]
    """
    size = (images.shape[2], images.shape[3])
    pixels = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    return pixels.argmax(dim=1).to(torch.uint8)  # (b, classes, H, W) -> (b, H, W)


def trace(graph: SegmenterGraph) -> TracedGraph:
    """Record a graph's operations, with number and size of images left open.

    Args:
        graph: on the CPU.
    """
    multiple = graph.segmenter.backbone.size_multiple
    batch, rows, columns = EXAMPLE
    example = torch.rand(batch, 3, rows * multiple, columns * multiple)
    height, width = (Dim(name, min=2, max=MOST_MULTIPLES) for name in ("rows", "columns"))
    open_sizes: Any = ({0: Dim("batch"), 2: multiple * height, 3: multiple * width},)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own internals
        program = torch.export.export(graph, (example,), dynamic_shapes=open_sizes)
    return TracedGraph(graph, program)
