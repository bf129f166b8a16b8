"""Conversion of STEGO and DepthG checkpoints into run folders.

Hamilton et al., STEGO (ICLR 2022); Sick et al., DepthG (CVPR 2024). Their checkpoints, written by
PyTorch Lightning, hold everything a Segmenter needs, including the backbone. In addition to the
model, the run folder holds::

    backbone/                   the vision transformer in the hub's layout
    linear_probe.safetensors    the linear classifier trained with labels, if any
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from segdistill.backbones import KEYS
from segdistill.backbones.finite import check_finite
from segdistill.backbones.loading import build_network
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD
from segdistill.backbones.vision_transformer import TransformersBackbone
from segdistill.backbones.vit_weights import convert_vit
from segdistill.backbones.weight_files import MAX_NAME, network_prefix, plain_name
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.files import atomic_path, translate_os_errors, write_text_atomically
from segdistill.layout import BACKBONE_FOLDER, DESCRIPTION_FILE, PROBE_FILE, WEIGHTS_FILE
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.files import read_description
from segdistill.model.head import SegmentationHead
from segdistill.model.linear_probe import LinearProbe, write_linear_probe
from segdistill.model.segmenter import Segmenter
from segdistill.weights.safe_pickle import Inert
from segdistill.weights.torch_files import open_torch_file

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

RESOLUTION = 320
"""Shorter side at which STEGO evaluates."""

NETWORK = "net.model."
"""Prefix of the backbone's weights."""

MAX_CLASSES = 255
MAX_NUMBER = 1e18
HEADS = {"vit_tiny": 3, "vit_small": 6, "vit_base": 12}
"""Number of attention heads of DINO's networks, by their names in STEGO."""

FACTS = (
    *("dataset_name", "dir_dataset_name", "model_type", "dino_patch_size", "dino_feat_type"),
    *("projection_type", "continuous", "dim", "dropout", "extra_clusters", "res", "batch_size"),
    *("max_steps", "lr", "pointwise", "zero_clamp", "stabalize", "feature_samples"),
    *("pos_intra_weight", "pos_inter_weight", "neg_inter_weight"),
    *("pos_intra_shift", "pos_inter_shift", "neg_inter_shift"),
)
"""Settings kept for display, by their names in STEGO ('stabalize' is its spelling)."""

EXPECTED = (
    "expected STEGO's layout: a state_dict with net.model.* (a ViT), net.cluster1.0.*,"
    " net.cluster2.{0,2}.* and cluster_probe.clusters, under any prefix"
)

ANCHORS = ("cluster_probe.clusters", "net.cluster1.0.weight")
"""Weights that show which prefix a checkpoint has."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The relevant content of a checkpoint.

    Attributes:
        weights: tensors by their names in STEGO.
        facts: the training settings recorded in the checkpoint.
    """

    weights: State
    facts: dict[str, str | float | None]


@dataclass(frozen=True)
class ConvertedRun:
    """The result of a conversion.

    Attributes:
        segmenter: the converted model.
        num_heads: number of attention heads of its backbone.
        probe: the linear classifier, if the checkpoint has one.
    """

    segmenter: Segmenter
    num_heads: int
    probe: LinearProbe | None


def convert_checkpoint(
    path: Path, out: Path, *, num_heads: int | None = None, overwrite: bool = False
) -> ConvertedRun:
    """Convert a checkpoint into a run folder.

    Args:
        path: a STEGO or DepthG checkpoint.
        out: the run folder to write.
        num_heads: number of attention heads of the backbone, which cannot be inferred from its
            weights; defaults to that of the network named in the checkpoint, or else to one per
            64 channels.
        overwrite: replace the result of an earlier conversion in ``out``.

    Raises:
        UserError: the checkpoint cannot be read, is refused, or has an unexpected layout; or
            ``out`` already contains something or cannot be written.
    """
    if num_heads is not None and num_heads < 1:
        raise UserError(f"--num-heads {num_heads}: must be at least 1")
    _check_folder(out, overwrite=overwrite)
    checkpoint = read_checkpoint(path)
    try:
        config, state, backbone = _network(checkpoint, num_heads, out / BACKBONE_FOLDER)
        segmenter = _segmenter(checkpoint, backbone)
        probe = _probe(checkpoint.weights)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    # Removed first and written last: a folder without a description is not taken for a model.
    with translate_os_errors(out):
        (out / DESCRIPTION_FILE).unlink(missing_ok=True)
        (out / PROBE_FILE).unlink(missing_ok=True)
    _write_network(config, state, out / BACKBONE_FOLDER)
    if probe is not None:
        write_linear_probe(probe, out)
    segmenter.save(out)
    return ConvertedRun(segmenter, config.num_attention_heads, probe)


def _check_folder(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything but a converted run that may be overwritten."""
    if (out / DESCRIPTION_FILE).exists():
        if not overwrite:
            raise UserError(
                f"{out}: already contains a run; add --overwrite to replace it, or choose another"
                " folder with --out"
            )
        if "converted_from" not in read_description(out).training:
            raise UserError(
                f"{out}: contains a run that was trained, not converted, so it is not overwritten;"
                " choose another folder with --out"
            )
        return
    # An interrupted conversion leaves these behind.
    own = {BACKBONE_FOLDER, PROBE_FILE, WEIGHTS_FILE}
    if out.exists() and (not out.is_dir() or any(each.name not in own for each in out.iterdir())):
        raise UserError(f"{out}: exists and is not a run; choose another folder with --out")


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without executing any code in it.

    Raises:
        UserError: the checkpoint cannot be read, is refused, or contains no weights.
    """
    with open_torch_file(path) as file:
        content = _entries(file.content)
        stored = {plain_name(name): each for name, each in file.nested_tensors().items()}
        prefix = _prefix(stored)
        weights = {
            name.removeprefix(prefix): file.read(tensor)
            for name, tensor in stored.items()
            if name.startswith(prefix) and name.isprintable() and len(name) <= MAX_NAME
        }
        if not weights:
            raise UserError(f"contains no state_dict; {EXPECTED}")
        hyper_parameters = _entries(content.get("hyper_parameters"))
        settings = {**hyper_parameters, **_entries(hyper_parameters.get("cfg"))}
        facts = {name: _scalar(settings[name]) for name in FACTS if name in settings}
        steps = _scalar(content.get("global_step"))
    return Checkpoint(weights, {"converted_from": path.name, "steps": steps, **facts})


def _prefix(names: Iterable[str]) -> str:
    """Return what all names of the model start with; Lightning's own wrapper if nothing tells."""
    dotted = [f".{name}" for name in names]
    found = (
        name.removesuffix(anchor)
        for anchor in ANCHORS
        for name in dotted
        if name.endswith(f".{anchor}")
    )
    return next(found, ".state_dict.")[1:]


def _entries(record: object) -> Mapping[Any, object]:
    """Return the entries of a dictionary or of a recorded Lightning or OmegaConf one."""
    if isinstance(record, Inert):
        state = record.state if isinstance(record.state, dict) else {}
        held = state.get("_content")  # where OmegaConf's DictConfig keeps its entries
        return held if isinstance(held, dict) else record.entries
    return record if isinstance(record, dict) else {}


def _scalar(record: object) -> str | float | None:
    """Return a plain value, unwrapped from OmegaConf's node if needed; None for anything else."""
    if isinstance(record, Inert) and isinstance(record.state, dict):
        record = record.state.get("_val")
    if isinstance(record, str):
        return record[:200]
    # JSON supports neither infinities nor integers with thousands of digits.
    return record if isinstance(record, int | float) and abs(record) < MAX_NUMBER else None


def _take(weights: State, name: str, *shape: int | None) -> torch.Tensor:
    """Return a float32 weight of this shape (None: any length), 1x1 convolutions as matrices."""
    if name not in weights:
        raise UserError(f"lacks {name}; {EXPECTED}")
    check_finite({name: weights[name]})
    weight = weights[name].float()
    if weight.dim() == 4 and weight.shape[2:] == (1, 1):
        weight = weight[:, :, 0, 0]
    same = all(side in {None, length} for side, length in zip(shape, weight.shape, strict=False))
    if weight.dim() != len(shape) or not same or 0 in weight.shape:
        raise UserError(
            f"{name} is of shape {tuple(weights[name].shape)}, which does not fit; {EXPECTED}"
        )
    return weight


def _network(
    checkpoint: Checkpoint, num_heads: int | None, folder: Path
) -> tuple["PreTrainedConfig", State, TransformersBackbone]:
    """Build the backbone that will be written to ``folder``."""
    kind = checkpoint.facts.get("dino_feat_type", "feat")
    if kind not in {"feat", "KK"}:
        raise UserError(
            f"its features are {kind!r}; supported are 'feat', the last tokens, and 'KK', the keys"
        )
    below = {
        name.removeprefix(NETWORK): weight.float()
        for name, weight in checkpoint.weights.items()
        if name.startswith(NETWORK)
    }
    if not below:
        raise UserError(f"lacks {NETWORK}*; {EXPECTED}")
    heads = num_heads or HEADS.get(str(checkpoint.facts.get("model_type")))
    try:
        prefix = network_prefix(below)
        state = {
            name.removeprefix(prefix): weight
            for name, weight in below.items()
            if name.startswith(prefix)
        }
        config, state = convert_vit(state, heads)
        model = build_network(config, state)
    except UserError as error:
        raise UserError(f"{NETWORK}*: {error}") from error
    keys = kind == "KK"
    backbone = TransformersBackbone(
        model,
        name=str(folder.resolve()) + (KEYS if keys else ""),
        licence="unknown",
        features="keys" if keys else "tokens",
    )
    return config, state, backbone


def _write_network(config: "PreTrainedConfig", state: State, folder: Path) -> None:
    """Write the backbone in the hub's layout."""
    write_text_atomically(folder / "config.json", config.to_json_string())
    preprocessing = {"do_normalize": True, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
    write_text_atomically(folder / "preprocessor_config.json", json.dumps(preprocessing) + "\n")
    with atomic_path(folder / "model.safetensors") as temporary:
        plain = {name: weight.contiguous() for name, weight in state.items()}
        temporary.write_bytes(save(plain, metadata={"format": "pt"}))


def _segmenter(checkpoint: Checkpoint, backbone: TransformersBackbone) -> Segmenter:
    features = sum(backbone.channel_groups)
    centres = _take(checkpoint.weights, "cluster_probe.clusters", None, None)
    if len(centres) > MAX_CLASSES:
        raise UserError(f"has {len(centres)} classes; masks hold at most {MAX_CLASSES}")
    return Segmenter(
        backbone,
        FeaturePreparation((features,)),
        _head(checkpoint, features, channels=centres.shape[1]),
        centres,
        SegmenterSettings(RESOLUTION, numbered_classes(len(centres)), checkpoint.facts),
    )


def _head(checkpoint: Checkpoint, features: int, *, channels: int) -> SegmentationHead:
    layers = {"linear": ("net.cluster1.0", channels)}
    nonlinear = any(name.startswith("net.cluster2.") for name in checkpoint.weights)
    if nonlinear:
        layers["nonlinear.0"] = ("net.cluster2.0", features)
        layers["nonlinear.2"] = ("net.cluster2.2", channels)
    state = {}
    for ours, (theirs, rows) in layers.items():
        state[f"{ours}.weight"] = _take(checkpoint.weights, f"{theirs}.weight", rows, features)
        state[f"{ours}.bias"] = _take(checkpoint.weights, f"{theirs}.bias", rows)
    head = SegmentationHead(features, channels, kind="nonlinear" if nonlinear else "linear")
    head.load_state_dict(state)
    return head


def _probe(weights: State) -> LinearProbe | None:
    if "linear_probe.weight" not in weights:
        return None
    channels = weights["cluster_probe.clusters"].shape[1]
    weight = _take(weights, "linear_probe.weight", None, channels)
    probe = LinearProbe(channels, len(weight))
    bias = _take(weights, "linear_probe.bias", len(weight))
    probe.load_state_dict({"weight": weight, "bias": bias})
    return probe
