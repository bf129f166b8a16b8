"""Depth estimation for images."""

from pathlib import Path

from segdistill.api.common import Source
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.depth.estimation import EstimatedDepth, estimate_files
from segdistill.depth.estimator import load_depth_estimator
from segdistill.depth.networks import DEFAULT_DEPTH_MODEL, depth_model_source
from segdistill.depth.outputs import DepthOptions, plan_outputs
from segdistill.devices import choose_compute
from segdistill.images.depth_files import EstimateKind, depth_folder_beside
from segdistill.images.folder import find_images
from segdistill.locks import only_writer


def estimate_depth(
    images: Source,
    model: str = DEFAULT_DEPTH_MODEL,
    out: Source | None = None,
    *,
    kind: EstimateKind | None = None,
    options: DepthOptions | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "32-true",
    progress: bool = False,
) -> EstimatedDepth:
    """Estimate the depth of images and write it as 16-bit PNGs, mirroring the folder tree.

    Existing maps of the same model are kept, so an interrupted call can be repeated. Files that
    segdistill did not write are never replaced.

    Args:
        images: a folder, file or glob pattern; for a folder in STEGO's layout, ``imgs/train``.
        model: short name, hub id or local folder of a depth model.
        out: folder for the maps; by default ``depth/train`` for ``imgs/train`` and the like,
            otherwise the name of the image folder followed by ``_depth``, next to it.
        kind: output of the model, if its config.json does not specify it: ``inverse`` (inverse
            depth up to scale and shift) or ``depth`` (metres).
        options: depth options, and additional outputs.
        device: device to compute on.
        precision: precision of matrix products; bfloat16 is too coarse for smooth depth.
        progress: show a progress bar.

    Returns:
        What was written and what was skipped.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = options or DepthOptions()
    source = depth_model_source(model)
    files = find_images(images)
    folder = Path(out) if out is not None else depth_folder_beside(images)
    with only_writer(folder):
        outputs = plan_outputs(files, folder, source, options, kind)
        estimator = None
        if not all(output.kept for output in outputs):
            compute = choose_compute(device, precision)
            estimator = load_depth_estimator(model, kind=kind, compute=compute)
        return estimate_files(estimator, outputs, folder, options, progress=progress)
