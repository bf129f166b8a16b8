"""Loading vision transformers with the transformers library.

Weights come from the Hugging Face hub or from a local folder in the hub's layout. Only safetensors
are read: nothing is unpickled. transformers takes seconds to import, so imports are local.
"""

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from segdistill.backbones.protocol import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
)
from segdistill.backbones.vision_transformer import (
    ARCHITECTURES,
    Architecture,
    Features,
    TransformersBackbone,
)
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


# DINO was trained with this value; the DINO configs on the hub have transformers' ViT default.
DINO_NORM_EPS = 1e-6
TRANSFORMERS_VIT_NORM_EPS = 1e-12


WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
HUB_FILES = ("config.json", "preprocessor_config.json", *WEIGHT_FILES, "model-*.safetensors")


class HubModel(NamedTuple):
    """A model on the Hugging Face hub, with a one-line summary."""

    hub_id: str
    summary: str


SHORT_NAMES = {
    "dino-vits8": HubModel("facebook/dino-vits8", "DINO ViT-S/8, 384 channels"),
    "dino-vits16": HubModel("facebook/dino-vits16", "DINO ViT-S/16, 384 channels"),
    "dino-vitb8": HubModel("facebook/dino-vitb8", "DINO ViT-B/8, 768 channels"),
    "dino-vitb16": HubModel("facebook/dino-vitb16", "DINO ViT-B/16, 768 channels"),
    "dinov2-vits14": HubModel("facebook/dinov2-small", "DINOv2 ViT-S/14, 384 channels"),
    "dinov2-vitb14": HubModel("facebook/dinov2-base", "DINOv2 ViT-B/14, 768 channels"),
    "dinov2-vitl14": HubModel("facebook/dinov2-large", "DINOv2 ViT-L/14, 1024 channels"),
    "dinov2-reg-vits14": HubModel(
        "facebook/dinov2-with-registers-small", "DINOv2 ViT-S/14 with registers, 384 channels"
    ),
    "dinov2-reg-vitb14": HubModel(
        "facebook/dinov2-with-registers-base", "DINOv2 ViT-B/14 with registers, 768 channels"
    ),
    "dinov2-reg-vitl14": HubModel(
        "facebook/dinov2-with-registers-large", "DINOv2 ViT-L/14 with registers, 1024 channels"
    ),
    "dinov3-vits16": HubModel(
        "facebook/dinov3-vits16-pretrain-lvd1689m", "DINOv3 ViT-S/16, 384 channels, gated"
    ),
    "dinov3-vitb16": HubModel(
        "facebook/dinov3-vitb16-pretrain-lvd1689m", "DINOv3 ViT-B/16, 768 channels, gated"
    ),
    "dinov3-vitl16": HubModel(
        "facebook/dinov3-vitl16-pretrain-lvd1689m", "DINOv3 ViT-L/16, 1024 channels, gated"
    ),
}


def load_from_hub(source: str, *, features: Features = "tokens") -> Backbone:
    """Load a vision transformer from the Hugging Face hub or from a local folder.

    Args:
        source: a hub id such as ``facebook/dino-vits8``, or a folder with config.json and
            model.safetensors.
        features: ``tokens`` of the last block after the final norm, or its ``keys``.

    Raises:
        UserError: the weights cannot be loaded, or the network is not supported.
    """
    path = Path(source)
    if path.is_file():
        raise UserError(f"--backbone {source}: is a file; pass a folder or a DINO .pth file")
    if path.is_dir():
        folder = path.resolve()
        return _load(folder, str(folder), features)
    return _load(_download(source), source, features)


def quiet_from_pretrained(
    model_class: Any, source: str | None, **options: Any
) -> tuple["PreTrainedModel", dict[str, Any]]:
    """Load a model without transformers' messages and progress bars.

    Args:
        model_class: a transformers model class.
        source: folder or hub id; ``None`` if ``options`` contain a state_dict.
        options: more arguments to ``from_pretrained``.

    Returns:
        The model in float32, and the loading info with missing and unexpected weights.
    """
    with quiet_transformers():
        model, loading_info = model_class.from_pretrained(
            source,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
            **options,
        )
    return model, loading_info


def _load(folder: Path, name: str, features: Features) -> Backbone:
    """Load the model ``name`` from ``folder``, which may lack the weights."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"--backbone {name}: config.json not found; the folder needs config.json and"
            " model.safetensors"
        )
    model_type = str(read_json(folder / "config.json").get("model_type"))
    if model_type not in ARCHITECTURES:
        raise UserError(
            f"--backbone {name}: unsupported model_type {model_type!r} in config.json;"
            f" supported types are {', '.join(ARCHITECTURES)}"
        )
    if name == str(folder):
        _check_weights(folder)
    # If there are no safetensors, transformers fetches the hub's automatic conversion.
    weights = folder if has_weights(folder) else name
    mean, std = _read_normalisation(folder)
    return TransformersBackbone(
        _load_model(folder, str(weights), name, ARCHITECTURES[model_type]),
        name=name,
        licence=_licence(name, model_type),
        mean=mean,
        std=std,
        features=features,
    )


def _load_model(
    folder: Path, weights: str, name: str, architecture: Architecture
) -> "PreTrainedModel":
    import transformers  # noqa: PLC0415 - takes seconds

    model_class = getattr(transformers, architecture.model_class)
    try:
        config = _read_config(model_class, folder)
        model, loading_info = quiet_from_pretrained(
            model_class, weights, config=config, use_safetensors=True, **architecture.load_options
        )
    except Exception as error:
        # The error types depend on the installed versions.
        raise UserError(_weights_message(name, error)) from error
    # The mask token is only used in training, and missing from some checkpoints.
    missing = sorted(key for key in loading_info["missing_keys"] if not key.endswith("mask_token"))
    if missing:
        raise UserError(
            f"--backbone {name}: {len(missing)} weights of {architecture.model_class} are missing,"
            f" such as {missing[0]}"
        )
    return model


def _read_config(model_class: Any, folder: Path) -> "PretrainedConfig":
    config = model_class.config_class.from_pretrained(str(folder))
    if config.model_type == "vit" and config.layer_norm_eps == TRANSFORMERS_VIT_NORM_EPS:
        config.layer_norm_eps = DINO_NORM_EPS
    return config  # type: ignore[no-any-return]


def _download(hub_id: str) -> Path:
    """Download the files of a model, or take them from the cache if the hub is unreachable."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    try:
        # A single attempt; downloading file by file would retry for minutes.
        return Path(snapshot_download(hub_id, allow_patterns=list(HUB_FILES)))
    except Exception as error:
        # The hub raises the errors of its HTTP library, which differs between versions.
        raise UserError(_weights_message(hub_id, error)) from error


def _weights_message(name: str, error: Exception) -> str:
    if Path(name).is_dir():
        return f"--backbone {name}: the weights cannot be read: {first_line(error)}"
    short = next((short for short, model in SHORT_NAMES.items() if model.hub_id == name), None)
    asked = f"{short} ({name})" if short else name
    return (
        f"--backbone {asked}: weights cannot be downloaded from the Hugging Face hub:"
        f" {hub_reason(name, error)}.\n"
        "Instead, pass a local folder in the hub's layout (--backbone FOLDER), a DINO .pth file"
        " (--backbone FILE.pth), or use the default (--backbone efficientnet-lite0)."
    )


def hub_reason(hub_id: str, error: Exception) -> str:
    """Return the reason why a download from the hub failed, for error messages."""
    from huggingface_hub import errors  # noqa: PLC0415 - only failures need it

    gated = isinstance(error, errors.GatedRepoError)
    if gated:
        reason = "access denied"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "the repository does not exist or is private"
    elif isinstance(error.__cause__, errors.OfflineModeIsEnabled):
        reason = "offline mode is on (HF_HUB_OFFLINE) and the files are not in the local cache"
    elif isinstance(error, errors.LocalEntryNotFoundError):
        reason = "the hub cannot be reached and the files are not in the local cache"
    else:
        reason = first_line(error)
    if gated or hub_id.startswith("facebook/dinov3"):
        reason += (
            f"; the weights are gated: request access on the hub page of {hub_id}, then log in"
            " with `hf auth login`"
        )
    return reason


def first_line(error: Exception) -> str:
    """Return the class of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def has_weights(folder: Path) -> bool:
    """Return whether a folder contains safetensors."""
    return any((folder / name).is_file() for name in WEIGHT_FILES)


def _check_weights(folder: Path) -> None:
    if has_weights(folder):
        return
    if (folder / "pytorch_model.bin").is_file():
        raise UserError(
            f"--backbone {folder}: pytorch_model.bin is not read, because .bin files can run code."
            " If you trust it, convert it to model.safetensors:\n"
            f'python -c "from transformers import AutoModel as M;'
            f" M.from_pretrained(r'{folder}').save_pretrained(r'{folder}')\""
        )
    raise UserError(f"--backbone {folder}: model.safetensors not found")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file cannot be read, or does not contain a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: does not contain a JSON object")
    return content


def _read_normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation from preprocessor_config.json."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return IMAGENET_MEAN, IMAGENET_STD
    settings = read_json(path)
    if settings.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    try:
        mean = tuple(float(value) for value in settings.get("image_mean") or IMAGENET_MEAN)
        std = tuple(float(value) for value in settings.get("image_std") or IMAGENET_STD)
    except (TypeError, ValueError):
        mean = std = ()
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise UserError(
            f"{path}: image_mean and image_std must have three numbers each, image_std above 0"
        )
    return mean, std


def _licence(name: str, model_type: str) -> str:
    if model_type == "dinov3_vit":
        return "dinov3-license"
    if name.startswith(("facebook/dino-", "facebook/dinov2-")):
        return "apache-2.0"
    return "unknown"


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Disable transformers' messages and progress bars, and restore the user's settings."""
    import huggingface_hub.utils  # noqa: PLC0415 - takes seconds
    import transformers.utils  # noqa: PLC0415 - takes seconds

    hub: Any = huggingface_hub.utils
    logging: Any = transformers.utils.logging
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    hub_bars_off = hub.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        if bars:
            logging.disable_progress_bar()  # also disables the hub's progress bars
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
                if hub_bars_off:
                    hub.disable_progress_bars()
