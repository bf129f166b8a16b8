"""A depth network, ready for use, and loading one from the hub or from a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.backbones.huggingface import (
    HUB_FILES,
    first_line,
    has_weights,
    hub_reason,
    quiet_transformers,
    read_json,
)
from segdistill.depth.names import DEPTH_MODELS, depth_model_source, licence_of
from segdistill.depth.preparation import DepthPreparation, read_preparation
from segdistill.devices import Compute, choose_compute
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EstimateKind = Literal["inverse", "depth"]

MODEL_CLASSES = {
    "depth_anything": "DepthAnythingForDepthEstimation",
    "dpt": "DPTForDepthEstimation",
    "zoedepth": "ZoeDepthForDepthEstimation",
}
"""transformers' class for each model_type of config.json."""

# Some copies lack these, and no image ever passes them: the mask token is for training alone, and
# nothing is added in the first stage of the fusion.
UNUSED_WEIGHTS = ("mask_token", "fusion_stage.layers.0.residual_layer1.")


@dataclass(frozen=True)
class DepthEstimator:
    """A depth network on its device.

    Attributes:
        source: hub id or full path of the folder it was loaded from.
        licence: of its weights, as their publisher names it.
        kind: what it gives: ``inverse``, known up to scale and shift, larger is nearer; or
            ``depth`` in metres.
        preparation: how it wants its images.
        alone: whether images may not share a batch, because they would change each other's depth.
        network: of transformers.
        compute: its device and precision.
    """

    source: str
    licence: str
    kind: EstimateKind
    preparation: DepthPreparation
    alone: bool
    network: "PreTrainedModel"
    compute: Compute

    def estimate(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate the depth of an image; see :attr:`kind` for what the numbers mean.

        Args:
            image: upright, shape (height, width, 3).

        Returns:
            Array of shape (height, width).
        """
        answer = self.answer(self.preparation.prepare(image)[None])[0]
        restored = self.preparation.restore(answer, (image.shape[0], image.shape[1]))
        result: NDArray[np.float32] = restored.numpy()
        return result

    def answer(self, prepared: torch.Tensor) -> torch.Tensor:
        """Pass prepared images through the network.

        Args:
            prepared: shape (batch, 3, rows, columns).

        Returns:
            What the network says, at its own size, on the processor: (batch, rows, columns).

        Raises:
            UserError: the device has too little memory.
        """
        try:
            with torch.inference_mode(), self.compute.autocast():
                network: Any = self.network
                predicted = network(pixel_values=prepared.to(self.compute.device)).predicted_depth
            result: torch.Tensor = predicted.float().cpu()
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"--device {self.compute.device.type}: too little memory for"
                f" {len(prepared)} images at once; lower --batch or use --device cpu"
            ) from error
        return result


def load_depth_estimator(
    model: str, *, kind: EstimateKind | None = None, compute: Compute | None = None
) -> DepthEstimator:
    """Load a depth network from the Hugging Face hub or from a local folder.

    Only safetensors are read: nothing is unpickled.

    Args:
        model: a short name, a hub id, or a folder that holds config.json and model.safetensors.
        kind: what the network gives, where its config.json does not tell: some DPT networks were
            trained for metres.
        compute: where; by default the fastest device, in float32.

    Raises:
        UserError: the weights cannot be had, or are not of a network that is supported.
    """
    source = depth_model_source(model)
    folder = Path(source) if Path(source).is_dir() else _download(source)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"--model {model}: no config.json; the hub's layout has config.json and"
            " model.safetensors"
        )
    config = read_json(folder / "config.json")
    model_type = config.get("model_type")
    if model_type not in MODEL_CLASSES:
        raise UserError(
            f"--model {model}: config.json states model_type {model_type!r};"
            f" supported are {', '.join(MODEL_CLASSES)}"
        )
    preparation = read_preparation(folder, config)
    network: Any = _load_network(folder, source, MODEL_CLASSES[model_type])
    compute = compute or choose_compute(precision="32-true")
    return DepthEstimator(
        source=source,
        licence=licence_of(source),
        kind=kind or _kind_of(config),
        preparation=preparation,
        # With a head for indoors and one for outdoors, ZoeDepth chooses one for the whole batch.
        alone=model_type == "zoedepth" and len(config.get("bin_configurations") or ()) > 1,
        network=network.eval().requires_grad_(requires_grad=False).to(compute.device),
        compute=compute,
    )


def _kind_of(config: dict[str, Any]) -> EstimateKind:
    metric = config["model_type"] == "zoedepth" or config.get("depth_estimation_type") == "metric"
    return "depth" if metric else "inverse"


def _load_network(folder: Path, source: str, class_name: str) -> "PreTrainedModel":
    import transformers  # noqa: PLC0415 - takes seconds

    if str(folder) == source and not has_weights(folder):
        raise UserError(
            f"--model {folder}: model.safetensors is missing; weights of other forms, such as"
            " pytorch_model.bin, are not read, because they can run code"
        )
    # Without a copy of the weights, transformers finds the hub's own conversion to safetensors.
    weights = str(folder) if has_weights(folder) else source
    try:
        with quiet_transformers():
            network, account = getattr(transformers, class_name).from_pretrained(
                weights, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:
        # Errors here are of many classes, and which ones depends on the versions installed.
        if weights == str(folder):
            raise UserError(
                f"--model {source}: the weights cannot be read: {first_line(error)}"
            ) from error
        raise UserError(_hub_message(source, error)) from error
    missing = sorted(
        key for key in account["missing_keys"] if not any(each in key for each in UNUSED_WEIGHTS)
    )
    if missing:
        raise UserError(
            f"--model {source}: {len(missing)} weights are missing, {missing[0]} first;"
            f" {class_name} needs them all"
        )
    return network  # type: ignore[no-any-return]


def _download(hub_id: str) -> Path:
    """Return a folder with the hub's files, from the cache where the hub cannot be reached."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(HUB_FILES)))
    except Exception as error:
        # The hub's errors are those of its HTTP library, which has changed twice.
        raise UserError(_hub_message(hub_id, error)) from error


def _hub_message(hub_id: str, error: Exception) -> str:
    short = next((short for short, each in DEPTH_MODELS.items() if each.hub_id == hub_id), None)
    asked = f"{short} ({hub_id})" if short else hub_id
    return (
        f"--model {asked}: no weights from the Hugging Face hub: {hub_reason(hub_id, error)}.\n"
        "Ways on: where there is a connection,"
        f" `hf download {hub_id} config.json preprocessor_config.json model.safetensors"
        " --local-dir FOLDER`, then --model FOLDER here; or depth maps of your own in a depth/"
        " folder beside imgs/."
    )
