"""Models to export: of the tiny backbone, and of tiny vision transformers."""

from pathlib import Path

import torch
from tests.backbones.test_huggingface import tiny_model
from tests.helpers import TinyBackbone

from segdistill.backbones import Backbone, load_backbone
from segdistill.features.preparation import fit_preparation
from segdistill.model.description import SegmentClass, SegmenterSettings
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter

CLASSES = (
    SegmentClass(0, "sky", (10, 20, 250), (0, 2)),
    SegmentClass(1, "class 1", (30, 200, 40), (1,), hidden=True),
)


def model_of(backbone: Backbone, resolution: int) -> Segmenter:
    """Make a model whose two classes are made of three clusters."""
    torch.manual_seed(0)
    channels = sum(backbone.channel_groups)
    preparation = fit_preparation(
        torch.randn(300, channels),
        backbone.channel_groups,
        standardise=backbone.standardise,
        components=4,
    )
    settings = SegmenterSettings(resolution, CLASSES)
    return Segmenter(backbone, preparation, SegmentationHead(4, 5), torch.randn(3, 5), settings)


def tiny() -> Segmenter:
    return model_of(TinyBackbone(), 64)


def tiny_transformer(model_type: str, folder: Path, features: str = "") -> Segmenter:
    tiny_model(model_type).save_pretrained(folder)
    backbone = load_backbone(f"{folder}{features}")
    # At the size that its position embeddings are learnt for, and at others.
    return model_of(backbone, 4 * backbone.stride)
