"""Tiny random depth networks in the hub's layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from segdistill.depth.estimator import DepthEstimator

WIDTH = 32
NECK = {"neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}

# As on the hub, but smaller.
PREPROCESSOR: dict[str, dict[str, Any]] = {
    "depth_anything": {
        "image_processor_type": "DPTImageProcessor",
        "do_normalize": True,
        "do_pad": False,
        "do_resize": True,
        "ensure_multiple_of": 14,
        "keep_aspect_ratio": True,
        "resample": 3,
        "size": {"height": 56, "width": 56},
        **IMAGENET,
    },
    "dpt": {
        "feature_extractor_type": "DPTFeatureExtractor",
        "do_normalize": True,
        "do_resize": True,
        "resample": 2,
        "size": 64,
        **HALF,
    },
    "zoedepth": {
        "image_processor_type": "ZoeDepthImageProcessor",
        "do_normalize": True,
        "do_pad": True,
        "do_resize": True,
        "ensure_multiple_of": 32,
        "keep_aspect_ratio": True,
        "resample": 2,
        "size": {"height": 64, "width": 96},
        **HALF,
    },
}
NETWORKS = {
    "depth-anything": "depth_anything",
    "depth-anything-metric": "depth_anything",
    "dpt": "dpt",
    "dpt-hybrid": "dpt",
    "dpt-dinov2": "dpt",
    "zoedepth": "zoedepth",
    "zoedepth-two-heads": "zoedepth",
}
"""Kinds of tiny networks, with their model_type."""


def tiny_network(kind: str) -> Any:
    """Build a random network whose weights all matter."""
    library: Any = transformers
    build = {
        "depth-anything": lambda: library.DepthAnythingForDepthEstimation(_depth_anything()),
        "depth-anything-metric": lambda: library.DepthAnythingForDepthEstimation(
            _depth_anything(depth_estimation_type="metric", max_depth=20)
        ),
        "dpt": lambda: library.DPTForDepthEstimation(_dpt()),
        "dpt-hybrid": lambda: library.DPTForDepthEstimation(_dpt_hybrid()),
        "dpt-dinov2": lambda: library.DPTForDepthEstimation(
            library.DPTConfig(backbone_config=_dinov2(), add_projection=False, **NECK)
        ),
        "zoedepth": lambda: library.ZoeDepthForDepthEstimation(_zoedepth(heads=1)),
        "zoedepth-two-heads": lambda: library.ZoeDepthForDepthEstimation(_zoedepth(heads=2)),
    }
    network = build[kind]().eval()
    generator = torch.Generator().manual_seed(2)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            nn.init.normal_(parameter, std=(2 / fan_in) ** 0.5, generator=generator)
        elif name.startswith("head.") and name.endswith("bias"):
            nn.init.constant_(parameter, 0.5)  # keeps the last ReLU open
    return network


def write_network(folder: Path, kind: str) -> Path:
    """Write a network as the hub would hold it."""
    tiny_network(kind).save_pretrained(folder)
    stated = json.dumps(PREPROCESSOR[NETWORKS[kind]])
    (folder / "preprocessor_config.json").write_text(stated)
    return folder


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture of smooth colours."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(a * x + b * y + c) for a, b, c in random.uniform(0, 9, (3, 3))]
    return ((np.stack(waves, axis=2) + 1) * 127.5).astype(np.uint8)


def estimated(estimator: DepthEstimator, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the depth of one image, shape (height, width)."""
    prediction = estimator.predict(estimator.preprocessing.preprocess(image)[None])[0]
    restored = estimator.preprocessing.restore(prediction, (image.shape[0], image.shape[1]))
    depth: NDArray[np.float32] = restored.numpy()
    return depth


def _dinov2() -> Any:
    library: Any = transformers
    return library.Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )


def _depth_anything(**more: object) -> Any:
    library: Any = transformers
    return library.DepthAnythingConfig(
        backbone_config=_dinov2(), reassemble_hidden_size=WIDTH, head_hidden_size=16, **NECK, **more
    )


def _dpt(**more: object) -> Any:
    library: Any = transformers
    return library.DPTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=WIDTH,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        **NECK,
        **more,
    )


def _dpt_hybrid() -> Any:
    return _dpt(
        is_hybrid=True,
        backbone_featmap_shape=[1, WIDTH, 4, 4],
        backbone_config={
            "model_type": "bit",
            "embedding_size": 8,
            "hidden_sizes": [8, 8, WIDTH],
            "depths": [1, 1, 1],
            "num_groups": 4,
            "global_padding": "same",
            "layer_type": "bottleneck",
            "out_features": ["stage1", "stage2", "stage3"],
            "embedding_dynamic_padding": True,
        },
    )


def _zoedepth(heads: int) -> Any:
    library: Any = transformers
    backbone = library.BeitConfig(
        hidden_size=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=WIDTH,
        image_size=64,
        patch_size=16,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    names = [("nyu", 10.0), ("kitti", 80.0)][:heads]
    return library.ZoeDepthConfig(
        backbone_config=backbone,
        bottleneck_features=16,
        num_relative_features=4,
        num_attractors=[4, 2, 2, 1],
        bin_embedding_dim=8,
        bin_configurations=[
            {"name": name, "n_bins": 8, "min_depth": 0.001, "max_depth": most}
            for name, most in names
        ],
        num_patch_transformer_layers=4,
        patch_transformer_hidden_size=128,
        patch_transformer_intermediate_size=16,
        patch_transformer_num_attention_heads=2,
        **NECK,
    )
