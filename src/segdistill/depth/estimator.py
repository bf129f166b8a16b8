"""Depth networks, loaded from the hub or from a folder."""

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
from segdistill.depth.preprocessing import DepthPreprocessing, read_preprocessing
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
"""The transformers class of each model_type in config.json."""

# Missing from some checkpoints, and not used in inference: the mask token is only for training, and
# the first fusion stage has no residual input.
UNUSED_WEIGHTS = ("mask_token", "fusion_stage.layers.0.residual_layer1.")


@dataclass(frozen=True)
class DepthEstimator:
    """A depth network on its device.

    Attributes:
        source: hub id or full path of the folder.
        licence: licence of the weights, as stated by their publisher.
        kind: ``inverse`` for inverse depth up to scale and shift, larger is nearer; ``depth`` for
            metres.
        preprocessing: image preprocessing.
        single_image_batches: whether the batch size must be 1, because images in a batch affect
            each other.
        network: the transformers model.
        compute: device and precision.
    """

    source: str
    licence: str
    kind: EstimateKind
    preprocessing: DepthPreprocessing
    single_image_batches: bool
    network: "PreTrainedModel"
    compute: Compute

    def estimate(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate the depth of an image; see :attr:`kind` for the units.

        Args:
            image: image, shape (height, width, 3).

        Returns:
            Depth map of shape (height, width).
        """
        prediction = self.predict(self.preprocessing.preprocess(image)[None])[0]
        restored = self.preprocessing.restore(prediction, (image.shape[0], image.shape[1]))
        result: NDArray[np.float32] = restored.numpy()
        return result

    def predict(self, prepared: torch.Tensor) -> torch.Tensor:
        """Run the network on preprocessed images.

        Args:
            prepared: preprocessed images, shape (batch, 3, rows, columns).

        Returns:
            Output of the network at its own resolution, on the CPU, shape (batch, rows, columns).

        Raises:
            UserError: the device is out of memory.
        """
        try:
            with torch.inference_mode(), self.compute.autocast():
                network: Any = self.network
                predicted = network(pixel_values=prepared.to(self.compute.device)).predicted_depth
            result: torch.Tensor = predicted.float().cpu()
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"--device {self.compute.device.type}: out of memory with a batch of"
                f" {len(prepared)} images; lower --batch or use --device cpu"
            ) from error
        return result


def load_depth_estimator(
    model: str, *, kind: EstimateKind | None = None, compute: Compute | None = None
) -> DepthEstimator:
    """Load a depth network from the Hugging Face hub or from a local folder.

    Only safetensors are read: nothing is unpickled.

    Args:
        model: a short name, a hub id, or a folder with config.json and model.safetensors.
        kind: kind of output, if config.json does not state it: some DPT networks predict metres.
        compute: device and precision; by default the fastest device, in float32.

    Raises:
        UserError: the weights cannot be loaded, or the network is not supported.
    """
    source = depth_model_source(model)
    folder = Path(source) if Path(source).is_dir() else _download(source)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"--model {model}: config.json not found; the folder needs config.json and"
            " model.safetensors"
        )
    config = read_json(folder / "config.json")
    model_type = config.get("model_type")
    if model_type not in MODEL_CLASSES:
        raise UserError(
            f"--model {model}: unsupported model_type {model_type!r} in config.json;"
            f" supported types are {', '.join(MODEL_CLASSES)}"
        )
    preprocessing = read_preprocessing(folder, config)
    network: Any = _load_network(folder, source, MODEL_CLASSES[model_type])
    compute = compute or choose_compute(precision="32-true")
    return DepthEstimator(
        source=source,
        licence=licence_of(source),
        kind=kind or _kind_of(config),
        preprocessing=preprocessing,
        # ZoeDepth with an indoor and an outdoor head chooses one of them for the whole batch.
        single_image_batches=model_type == "zoedepth"
        and len(config.get("bin_configurations") or ()) > 1,
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
            f"--model {folder}: model.safetensors not found; other formats, such as"
            " pytorch_model.bin, are not read, because they can run code"
        )
    # If there are no safetensors, transformers fetches the hub's automatic conversion.
    weights = str(folder) if has_weights(folder) else source
    try:
        with quiet_transformers():
            network, loading_info = getattr(transformers, class_name).from_pretrained(
                weights, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:
        # The error types depend on the installed versions.
        if weights == str(folder):
            raise UserError(
                f"--model {source}: the weights cannot be read: {first_line(error)}"
            ) from error
        raise UserError(_hub_message(source, error)) from error
    missing = sorted(
        key
        for key in loading_info["missing_keys"]
        if not any(each in key for each in UNUSED_WEIGHTS)
    )
    if missing:
        raise UserError(
            f"--model {source}: {len(missing)} weights of {class_name} are missing, such as"
            f" {missing[0]}"
        )
    return network  # type: ignore[no-any-return]


def _download(hub_id: str) -> Path:
    """Download the files of a model, or take them from the cache if the hub is unreachable."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(HUB_FILES)))
    except Exception as error:
        # The hub raises the errors of its HTTP library, which differs between versions.
        raise UserError(_hub_message(hub_id, error)) from error


def _hub_message(hub_id: str, error: Exception) -> str:
    short = next((short for short, each in DEPTH_MODELS.items() if each.hub_id == hub_id), None)
    asked = f"{short} ({hub_id})" if short else hub_id
    return (
        f"--model {asked}: weights cannot be downloaded from the Hugging Face hub:"
        f" {hub_reason(hub_id, error)}.\n"
        f"Run `hf download {hub_id} config.json preprocessor_config.json model.safetensors"
        " --local-dir FOLDER` on a machine with access and pass --model FOLDER, or put your own"
        " depth maps in a depth/ folder next to imgs/."
    )
