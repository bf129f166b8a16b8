"""A model as one graph from images to class scores, traced once with dynamic sizes."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim, ExportedProgram

from segdistill.model.segmenter import Segmenter
from segdistill.version import __version__

IMAGES = "images"
SCORES = "scores"
MASKS = "masks"

MAX_MULTIPLE = 4096
"""Upper bound of a side in multiples of ``size_multiple``; the tracer needs a bound."""

# The tracer specialises sizes of 0 and 1, and may treat equal sizes as the same symbol.
EXAMPLE_SIZE = (2, 3, 5)
"""Example batch size, and rows and columns in multiples of ``size_multiple``."""


class SegmenterGraph(nn.Module):
    """Module that maps images to class scores and, optionally, masks.

    Args:
        masks: also return the best class of each pixel.

    Shapes: images (batch, 3, height, width) in 0..1, with sides multiples of the backbone's
    ``size_multiple``, to class scores (cosine similarities in -1..1) of shape (batch, classes,
    height / stride, width / stride) and, with ``masks``, 8-bit class indices of shape (batch,
    height, width).
    """

    def __init__(self, segmenter: Segmenter, *, masks: bool = False) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.masks = masks
        self.eval()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return (SCORES, MASKS) if self.masks else (SCORES,)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return class scores and masks; see the class."""
        scores = self.segmenter(images)
        return (scores, bilinear_masks(scores, images)) if self.masks else (scores,)


@dataclass(frozen=True)
class TracedGraph:
    """A traced graph.

    Attributes:
        graph: the module.
        program: the exported program, with dynamic batch and image sizes.
    """

    graph: SegmenterGraph
    program: ExportedProgram


def bilinear_masks(scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Upsample class scores bilinearly to the image size, and return the best class.

    Args:
        scores: class scores, shape (batch, classes, h, w), at most 256 classes.
        images: images, shape (batch, 3, height, width); only their size is used.

    Returns:
        8-bit class indices, shape (batch, height, width).

    Example:
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).view(1, 2, 1, 2)
        >>> bilinear_masks(scores, torch.zeros(1, 3, 1, 4)).tolist()
        [[[0, 0, 1, 1]]]
    """
    size = (images.shape[2], images.shape[3])
    pixels = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    return pixels.argmax(dim=1).to(torch.uint8)  # (b, classes, H, W) -> (b, H, W)


def trace(graph: SegmenterGraph) -> TracedGraph:
    """Trace a graph, on the CPU, with dynamic batch and image sizes."""
    multiple = graph.segmenter.backbone.size_multiple
    batch, rows, columns = EXAMPLE_SIZE
    example = torch.rand(batch, 3, rows * multiple, columns * multiple)
    height, width = (Dim(name, min=2, max=MAX_MULTIPLE) for name in ("rows", "columns"))
    dynamic_shapes: Any = ({0: Dim("batch"), 2: multiple * height, 3: multiple * width},)
    with torch.no_grad(), silent_exporters():
        program = torch.export.export(graph, (example,), dynamic_shapes=dynamic_shapes)
    return TracedGraph(graph, program)


@contextlib.contextmanager
def silent_exporters() -> Iterator[None]:
    """Drop what exporters say of torch's internals, and of Triton where that is not installed."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.utils.flop_counter")]
    levels = [each.level for each in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)


def graph_input(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Preprocess an image for the graph of a model.

    Shapes: (height, width, 3) in 0..255 to (1, 3, rows, columns) in 0..1.
    """
    inputs = segmenter.viewed(image).transpose(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
    return np.ascontiguousarray(inputs, np.float32) / np.float32(255)


def metadata_of(segmenter: Segmenter) -> dict[str, str]:
    """Return the metadata of a model's graph as strings, as ONNX requires.

    Lists are JSON. ``classes`` has the index, name, colour and hidden flag of each class.
    ``resolution`` is the shorter side in pixels to resize images to, with both sides multiples of
    ``size_multiple``.
    """
    backbone = segmenter.backbone
    name = Path(backbone.name)
    classes = [
        {key: value for key, value in asdict(each).items() if key != "clusters"}
        for each in segmenter.classes
    ]
    return {
        "segdistill": __version__,
        "classes": json.dumps(classes),
        "resolution": str(segmenter.settings.resolution),
        "size_multiple": str(backbone.size_multiple),
        "stride": str(backbone.stride),
        "input": "RGB, float32 in 0..1, (batch, 3, height, width)",
        # Without the folder, which is private to the machine that wrote the graph.
        "backbone": name.name if name.is_absolute() else backbone.name,
        "backbone_fingerprint": backbone.fingerprint,
        "backbone_licence": backbone.licence,
    }
