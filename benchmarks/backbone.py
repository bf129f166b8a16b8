"""The frozen networks as the library runs them, compared with their plain implementation.

The plain implementation is the network as its package provides it, in single precision, one image
at a time. The library uses fused attention, the precision chosen by :func:`choose_compute`, batches
sized by :class:`PixelBudget`, channels-last memory and folded batch norms.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from tests.plain.backbones import PlainEfficientNetLite, PlainVisionTransformer
from torch import nn

from benchmarks.material import SMALL, SMALLEST, write_transformer
from benchmarks.table import Agreement, Conditions, Row, best_of
from segdistill.backbones import Backbone, load_backbone
from segdistill.devices import PixelBudget

NAME = "backbone"
MOST_ALONE = 8
"""Images that the plain implementation processes one by one; a GPU's whole batch takes long."""

RUNS = 3


def rows(conditions: Conditions) -> Iterator[Row]:
    sizes = SMALLEST if conditions.smallest else SMALL
    with tempfile.TemporaryDirectory() as name:
        folder = write_transformer(Path(name) / "vit", sizes)
        yield row(
            sizes.name,
            PlainVisionTransformer(folder),
            load_backbone(str(folder)),
            (sizes.side, sizes.side),
            conditions,
        )
    yield row(
        "EfficientNet-Lite0, the embedded default",
        PlainEfficientNetLite(),
        load_backbone(),
        (64, 96) if conditions.smallest else (480, 640),
        conditions,
    )


def row(
    what: str,
    plain_network: nn.Module,
    network: Backbone,
    size: tuple[int, int],
    conditions: Conditions,
) -> Row:
    device = conditions.device
    plain_network.to(device)
    network.to(device)
    count = 2 if conditions.smallest else PixelBudget(device).images(*size)
    images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    alone = images[:MOST_ALONE]

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([plain_network(image[None]) for image in alone])

    def this() -> torch.Tensor:
        with torch.inference_mode(), conditions.compute.autocast():
            result: torch.Tensor = network(images)
        return result

    features = this()[: len(alone)]
    alike = F.cosine_similarity(plain().double(), features.double(), dim=1).mean().item()
    times = best_of(conditions.at_most(RUNS), plain, this, device=device)
    batches = "one by one" if count == 1 else f"one by one and in batches of {count}"
    return Row(
        NAME,
        what,
        f"{size[1]}x{size[0]} pixels, {batches}; per image",
        Agreement("1 - mean cosine of features", 1 - alike, 0.01),
        plain=times[0] / len(alone),
        this=times[1] / count,
    )
