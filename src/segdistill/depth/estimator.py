"""Depth networks, loaded from the hub or from a folder."""

from dataclasses import dataclass
from typing import Any

import torch

from segdistill.backbones.huggingface import NetworkKind
from segdistill.depth.networks import DEPTH_MODELS, depth_model_source, licence_of
from segdistill.depth.preprocessing import DepthPreprocessing, read_preprocessing
from segdistill.devices import Compute, choose_compute
from segdistill.errors import UserError
from segdistill.images.depth_files import EstimateKind

NETWORKS = NetworkKind(
    "--model",
    {
        "depth_anything": "DepthAnythingForDepthEstimation",
        "dpt": "DPTForDepthEstimation",
        "zoedepth": "ZoeDepthForDepthEstimation",
    },
    advice="Run `hf download {hub_id} config.json preprocessor_config.json model.safetensors"
    " --local-dir FOLDER` on a machine with access and pass --model FOLDER, or put your own depth"
    " maps in a depth/ folder next to imgs/.",
    hub_ids={short: each.hub_id for short, each in DEPTH_MODELS.items()},
    # The mask token is only for training, and the first fusion stage has no residual input.
    unused=("mask_token", "fusion_stage.layers.0.residual_layer1."),
)


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
    network: Any
    compute: Compute

    def predict(self, prepared: torch.Tensor) -> torch.Tensor:
        """Run the network on preprocessed images; the output is on the CPU.

        Shapes: (batch, 3, rows, columns) to (batch, rows, columns).

        Raises:
            UserError: the device is out of memory.
        """
        try:
            with torch.inference_mode(), self.compute.autocast():
                output = self.network(pixel_values=prepared.to(self.compute.device))
            result: torch.Tensor = output.predicted_depth.float().cpu()
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

    Args:
        model: a short name, a hub id, or a folder with config.json and model.safetensors.
        kind: kind of output, if config.json does not state it: some DPT networks predict metres.
        compute: device and precision; by default the fastest device, in float32.

    Raises:
        UserError: the weights cannot be loaded, or the network is not supported.
    """
    files = NETWORKS.find(depth_model_source(model))
    preprocessing = read_preprocessing(files)
    compute = compute or choose_compute(precision="32-true")
    network: Any = files.load()
    is_zoedepth = files.model_type == "zoedepth"
    metric = is_zoedepth or files.config.get("depth_estimation_type") == "metric"
    return DepthEstimator(
        source=files.source,
        licence=licence_of(files.source),
        kind=kind or ("depth" if metric else "inverse"),
        preprocessing=preprocessing,
        # ZoeDepth with an indoor and an outdoor head chooses one of them for the whole batch.
        single_image_batches=is_zoedepth and len(files.config.get("bin_configurations") or ()) > 1,
        network=network.eval().requires_grad_(requires_grad=False).to(compute.device),
        compute=compute,
    )
