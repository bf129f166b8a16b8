"""The TensorBoard log of a training run: losses, correlations, images and settings."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from segdistill.config.settings import FitSettings
from segdistill.errors import UnreadableImageError
from segdistill.files import translate_os_errors
from segdistill.images.palette import distinct_colours
from segdistill.model.head import SegmentationHead
from segdistill.objective.clusters import cluster_similarity
from segdistill.runs.facts import AgreementRecord
from segdistill.runs.history import StepRecord
from segdistill.training.batches import Batch
from segdistill.training.modules import TrainingModules
from segdistill.training.training_set import TrainingSet

PANELS = 4
PANEL_SIDE = 256
HISTOGRAM_VALUES = 100_000
"""Maximum number of pairs in a histogram."""

PROBE_METRICS = ("clusters", "linear", "linear_accuracy")


class TrainingLog:
    """Writes TensorBoard logs, continuing after ``first_step`` steps of an interrupted run.

    TensorBoard writes in a thread, and raises the errors of the thread at a later call.

    Raises:
        UserError: the log cannot be written, also by the methods.
    """

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        self._folder = folder
        self._former_hook = threading.excepthook
        threading.excepthook = self._quiet_hook
        # Purge the steps that an interrupted run logged after its last checkpoint, or before its
        # first: they are logged again.
        with translate_os_errors(folder):
            self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def losses(self, record: StepRecord, agreement: AgreementRecord | None) -> None:
        """Log the losses and probe metrics of a step, and the neighbour agreement if measured."""
        for name, value in record.losses.items():
            group = "probe" if name in PROBE_METRICS else "loss"
            self._writer.add_scalar(f"{group}/{name}", value, record.step)
        if agreement is not None:
            self._writer.add_scalar(
                "probe/neighbour_agreement", agreement.agreement, agreement.step
            )

    def histograms(
        self, step: int, modules: TrainingModules, batch: Batch, data: TrainingSet
    ) -> None:
        """Log the histograms that the objective has, such as those of correlations."""
        with torch.no_grad():
            for name, values in modules.objective.histograms(modules.head, batch, data).items():
                flat = values.flatten()
                stride = -(-len(flat) // HISTOGRAM_VALUES)
                self._writer.add_histogram(name, flat[::stride].cpu(), step)

    def panels(self, step: int, modules: TrainingModules, data: TrainingSet) -> None:
        """Log a few images, each with its codes in false colours and its clusters."""
        count = min(PANELS, len(data.maps))
        training = modules.training
        modules.eval()
        for index in np.linspace(0, len(data.maps) - 1, count).round().astype(int).tolist():
            try:
                image = data.maps.views[index].load()
            except UnreadableImageError:  # moved since; training goes on without it
                continue
            raw = torch.from_numpy(data.maps[index].copy()).float()
            picture = _panel(
                image,
                data.preparation(raw.to(modules.centres.device)),
                modules.head,
                modules.centres,
            )
            self._writer.add_image(f"panel/{index}", picture, step, dataformats="HWC")
        modules.train(training)

    def settings(self, settings: FitSettings, last: StepRecord) -> None:
        """Log the settings and final losses for TensorBoard's HParams tab."""
        plain = {name: _plain(value) for name, value in settings.flattened().items()}
        metrics = {f"final/{name}": value for name, value in last.losses.items()}
        # add_hparams would create a separate run in a subfolder.
        for summary in hparams(plain, metrics):  # type: ignore[no-untyped-call]
            writer: Any = self._writer
            writer._get_file_writer().add_summary(summary)  # noqa: SLF001 - its own folder
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, last.step)

    def close(self) -> None:
        """Flush and close the log."""
        try:
            with translate_os_errors(self._folder):
                self._writer.close()
        finally:
            threading.excepthook = self._former_hook

    def _quiet_hook(self, failure: threading.ExceptHookArgs) -> None:
        """Print no traceback of a thread that could not write: a later call raises its error."""
        own = type(failure.thread).__module__.startswith("tensorboard")
        if not (own and issubclass(failure.exc_type, OSError)):
            self._former_hook(failure)


@torch.no_grad()
def _panel(
    image: NDArray[np.uint8],
    features: torch.Tensor,
    head: SegmentationHead,
    centres: torch.Tensor,
) -> NDArray[np.uint8]:
    """Draw an image, its codes in false colours, and its clusters, side by side.

    Args:
        image: an RGB image of shape (height, width, 3).
        features: prepared features, shape (h, w, channels).
        centres: cluster centres, shape (clusters, code channels).
    """
    codes = head(features[None]).permute(0, 3, 1, 2)  # (h, w, c) -> (1, d, h, w)
    nearest = cluster_similarity(codes, centres)[0].argmax(dim=0)
    colours = np.array(distinct_colours(len(centres)), np.uint8)
    scale = min(1.0, PANEL_SIDE / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    pictures = [image, false_colours(codes[0]), colours[nearest.cpu().numpy()]]
    return np.concatenate([_resized(each, size) for each in pictures], axis=1)


def false_colours(codes: torch.Tensor) -> NDArray[np.uint8]:
    """Map the first three principal components to RGB, from (channels, h, w) to (h, w, 3).

    Example:
        >>> false_colours(torch.rand(8, 4, 5)).shape
        (4, 5, 3)
    """
    flat = F.normalize(codes, dim=0).flatten(1).mT.cpu()  # (d, h, w) -> (locations, d)
    centred = flat - flat.mean(dim=0)
    basis = torch.linalg.svd(centred, full_matrices=False).Vh[:3]
    components = F.pad(centred @ basis.mT, (0, 3 - len(basis)))
    low, high = components.amin(dim=0), components.amax(dim=0)
    shares = (components - low) / (high - low).clamp_min(1e-12)
    picture: NDArray[np.uint8] = (shares * 255).round().to(torch.uint8).numpy()
    return picture.reshape(*codes.shape[1:], 3)


def _plain(value: Any) -> bool | int | float | str:
    """Convert a setting to a type that TensorBoard accepts."""
    if isinstance(value, bool | int | float | str):
        return value
    return "none" if value is None else ", ".join(map(str, value))


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    # Nearest-neighbour resampling keeps the grid cells visible.
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))
