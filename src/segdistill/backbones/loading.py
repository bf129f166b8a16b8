"""Loading of backbones from the Hugging Face hub, from folders, and from files of weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segdistill.backbones import convnext
from segdistill.backbones.convnext import ConvNeXtBackbone
from segdistill.backbones.convnext_weights import convert_convnext
from segdistill.backbones.finite import check_finite
from segdistill.backbones.huggingface import (
    TIMM,
    WEIGHT_FILES,
    NetworkFiles,
    NetworkKind,
    quiet_from_pretrained,
    read_normalisation,
)
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, Backbone
from segdistill.backbones.vision_transformer import (
    ARCHITECTURES,
    DINO_NORM_EPS,
    Features,
    TransformersBackbone,
)
from segdistill.backbones.vit_weights import convert_vit
from segdistill.backbones.weight_files import State, read_network
from segdistill.errors import UserError
from segdistill.weights.safe_pickle import RefusedPickleError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

TRANSFORMERS_VIT_NORM_EPS = 1e-12

PUBLISHED = (
    # short name, repository of facebook on the hub, architecture, channels
    ("dino-vits8", "dino-vits8", "DINO ViT-S/8", 384),
    ("dino-vits16", "dino-vits16", "DINO ViT-S/16", 384),
    ("dino-vitb8", "dino-vitb8", "DINO ViT-B/8", 768),
    ("dino-vitb16", "dino-vitb16", "DINO ViT-B/16", 768),
    ("dinov2-vits14", "dinov2-small", "DINOv2 ViT-S/14", 384),
    ("dinov2-vitb14", "dinov2-base", "DINOv2 ViT-B/14", 768),
    ("dinov2-vitl14", "dinov2-large", "DINOv2 ViT-L/14", 1024),
    ("dinov2-vitg14", "dinov2-giant", "DINOv2 ViT-g/14", 1536),
    ("dinov2-reg-vits14", "dinov2-with-registers-small", "DINOv2 ViT-S/14 with registers", 384),
    ("dinov2-reg-vitb14", "dinov2-with-registers-base", "DINOv2 ViT-B/14 with registers", 768),
    ("dinov2-reg-vitl14", "dinov2-with-registers-large", "DINOv2 ViT-L/14 with registers", 1024),
    ("dinov3-vits16", "dinov3-vits16-pretrain-lvd1689m", "DINOv3 ViT-S/16", 384),
    ("dinov3-vitb16", "dinov3-vitb16-pretrain-lvd1689m", "DINOv3 ViT-B/16", 768),
    ("dinov3-vitl16", "dinov3-vitl16-pretrain-lvd1689m", "DINOv3 ViT-L/16", 1024),
    ("dinov3-convnext-tiny", "dinov3-convnext-tiny-pretrain-lvd1689m", "DINOv3 ConvNeXt-T", 768),
    ("dinov3-convnext-base", "dinov3-convnext-base-pretrain-lvd1689m", "DINOv3 ConvNeXt-B", 1024),
)
SHORT_NAMES = {
    short: (
        f"facebook/{repository}",
        f"{architecture}, {channels} channels{', gated' if short.startswith('dinov3') else ''}",
    )
    for short, repository, architecture, channels in PUBLISHED
}
"""Hub id and one-line summary by short name."""

NETWORKS = NetworkKind(
    "--backbone",
    {model_type: each.model_class for model_type, each in ARCHITECTURES.items()}
    | {convnext.MODEL_TYPE: "DINOv3ConvNextModel", TIMM: "timm"},
    advice="Instead, pass a local folder in the hub's layout (--backbone FOLDER), a weight file"
    " (--backbone FILE.pth), or use the default (--backbone efficientnet-lite0).",
    hub_ids={name: hub_id for name, (hub_id, _) in SHORT_NAMES.items()},
    unused=("mask_token",),  # only used in training, and missing from some checkpoints
)

SATELLITE = "sat493m"
SATELLITE_MEAN = (0.430, 0.411, 0.296)
SATELLITE_STD = (0.213, 0.156, 0.143)
"""Normalisation of DINOv3's networks for satellite images, which have this in their file names."""

APACHE_FILES = ("dino_deitsmall", "dino_vitbase", "dinov2_vit")


def load_from_hub(source: str, *, features: Features = "tokens") -> Backbone:
    """Load a network from the Hugging Face hub or from a local folder.

    Args:
        source: hub id such as ``facebook/dino-vits8``, or folder with config.json and
            model.safetensors.
        features: of a vision transformer: ``tokens`` of the last block after the final norm, or its
            ``keys``.

    Raises:
        UserError: the weights cannot be loaded or are not finite, or the network is not supported.
    """
    files = NETWORKS.find(source)
    if files.model_type == TIMM:
        return _from_timm(files, features)
    mean, std = files.preprocessing(
        lambda stated: read_normalisation(stated, IMAGENET_MEAN, IMAGENET_STD)
    )
    options: dict[str, Any] = {}
    if files.model_type in ARCHITECTURES:
        options |= ARCHITECTURES[files.model_type].load_options
    norm_eps = files.config.get("layer_norm_eps", TRANSFORMERS_VIT_NORM_EPS)
    if files.model_type == "vit" and norm_eps == TRANSFORMERS_VIT_NORM_EPS:
        options["layer_norm_eps"] = DINO_NORM_EPS
    model = files.load(**options)
    check_finite(model.state_dict(), f"--backbone {files.source}")
    return _backbone(
        model,
        features,
        name=files.source,
        licence=_licence(files.source, files.model_type),
        mean=mean,
        std=std,
    )


def _from_timm(files: NetworkFiles, features: Features) -> Backbone:
    """Load a network in timm's layout: its own names, with a config.json of its own."""
    prefix = f"--backbone {files.source}: "
    stated = files.config["pretrained_cfg"]
    try:
        stated = {"image_mean": stated.get("mean"), "image_std": stated.get("std")}
        mean, std = read_normalisation(stated, IMAGENET_MEAN, IMAGENET_STD)
        path = next(each for name in WEIGHT_FILES if (each := files.folder / name).is_file())
        config, state = convert_weights(read_network(path))
    except StopIteration as error:
        raise UserError(f"{prefix}model.safetensors not found") from error
    except (AttributeError, ValueError) as error:
        raise UserError(f"{prefix}pretrained_cfg in config.json is invalid ({error})") from error
    except UserError as error:
        raise UserError(f"{prefix}{error}") from error
    model = build_network(config, state)
    licence = _licence(files.source, str(config.model_type))
    return _backbone(model, features, name=files.source, licence=licence, mean=mean, std=std)


def load_weight_file(
    path: Path, *, num_heads: int | None = None, features: Features = "tokens"
) -> Backbone:
    """Load a network from a file of weights, such as those that Meta publishes.

    The file is read without running any code in it. See :mod:`~segdistill.backbones.weight_files`
    for the formats, and :func:`convert_weights` for the networks.

    Args:
        path: file of weights.
        num_heads: number of attention heads of a vision transformer; ``None`` for as many as
            DINOv3's rotary periods tell, or else one per 64 channels.
        features: as for :func:`load_from_hub`.

    Raises:
        UserError: the file cannot be read, holds no network that is known, or a weight is not
            finite.
    """
    try:
        state = read_network(path)
    except RefusedPickleError as error:
        raise UserError(f"--backbone {error}; save the network's state_dict alone") from error
    except UserError as error:
        raise UserError(f"--backbone {error}") from error
    try:
        config, state = convert_weights(state, num_heads)
    except UserError as error:
        raise UserError(f"--backbone {path}: {error}") from error
    satellite = SATELLITE in path.name.lower()
    return _backbone(
        build_network(config, state),
        features,
        name=str(path.resolve()),
        licence=_licence(path.name, str(config.model_type)),
        mean=SATELLITE_MEAN if satellite else IMAGENET_MEAN,
        std=SATELLITE_STD if satellite else IMAGENET_STD,
    )


def convert_weights(state: State, num_heads: int | None = None) -> tuple["PreTrainedConfig", State]:
    """Convert weights by the names of Meta or timm to one of transformers' networks.

    Args:
        state: tensors without prefixes.
        num_heads: as for :func:`load_weight_file`.

    Returns:
        The configuration, and the tensors by hub name.

    Raises:
        UserError: the names or shapes are not those of a network that is known, or a weight is not
            finite.
    """
    if "downsample_layers.0.0.weight" in state:
        return convert_convnext(state)
    return convert_vit(state, num_heads)


def build_network(config: "PreTrainedConfig", state: State) -> "PreTrainedModel":
    """Build a network of transformers from its configuration and its tensors by hub name.

    Raises:
        UserError: the tensors have other shapes than the network.
    """
    import transformers  # noqa: PLC0415 - takes seconds

    model_type = str(config.model_type)
    options: dict[str, Any] = {"config": config, "state_dict": state}
    if model_type in ARCHITECTURES:
        options |= ARCHITECTURES[model_type].load_options
    model_class = getattr(transformers, NETWORKS.classes[model_type])
    try:
        model, loading_info = quiet_from_pretrained(model_class, None, **options)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"weights have unexpected shapes: {reason}") from error
    # Weights that are not loaded would be random, giving silently wrong results.
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        wrong = [key for key in loading_info[kind] if not str(key).endswith("mask_token")]
        if wrong:
            raise UserError(f"{kind.replace('_', ' ')} of {model_class.__name__}: {wrong[0]}")
    return model


def _backbone(model: "PreTrainedModel", features: Features, **facts: Any) -> Backbone:
    if model.config.model_type != convnext.MODEL_TYPE:
        return TransformersBackbone(model, features=features, **facts)
    if features == "keys":
        raise UserError(f"--backbone {facts['name']}: a ConvNeXt has no keys; omit ':keys'")
    return ConvNeXtBackbone(model, **facts)


def _licence(name: str, model_type: str) -> str:
    if model_type in {"dinov3_vit", convnext.MODEL_TYPE}:
        return "dinov3-license"
    if name.startswith(("facebook/dino-", "facebook/dinov2-", *APACHE_FILES)):
        return "apache-2.0"
    return "unknown"
