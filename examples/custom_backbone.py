"""Use a network of your own as the backbone: here, colours and edges in cells of 8 pixels.

python custom_backbone.py photos

A backbone maps images to feature maps. Registered, it has a short name that every function and
setting accepts; the run remembers the name and the fingerprint of the weights.
"""

import sys

import torch
import torch.nn.functional as F

import segdistill
from segdistill.backbones import Backbone, BackboneEntry, register


class ColoursAndEdges(Backbone):
    """The mean and the spread of each colour in a cell, without any learned weights."""

    name = "colours-and-edges"
    fingerprint = "0000000000000001"  # of learned weights: weights_fingerprint(self)
    stride = 8
    size_multiple = 8
    channel_groups: tuple[int, ...] = (3, 3)  # each group is scaled to unit length
    standardise = True
    resolution = 128
    licence = "none"

    def __init__(self) -> None:
        super().__init__()
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (batch, 3, height, width) in 0..1 to (batch, 6, height / 8, width / 8)."""
        mean = F.avg_pool2d(images, self.stride)
        spread = F.avg_pool2d(images**2, self.stride) - mean**2
        return torch.cat([mean, spread.clamp_min(0).sqrt()], dim=1)


def main(photos: str) -> None:
    name = ColoursAndEdges.name
    register(BackboneEntry(name, "embedded", "colours and edges", lambda _: ColoursAndEdges()))
    segmenter = segdistill.fit(photos, backbone=name, classes=4)
    print(f"{len(segmenter.classes)} classes from {sum(ColoursAndEdges.channel_groups)} channels")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
