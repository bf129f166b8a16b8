"""The TensorBoard log of a training: losses, correlations, pictures and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
from segdistill.images.labels import distinct_colours
from segdistill.model.head import SegmentationHead
from segdistill.objective.clusters import cluster_similarity
from segdistill.objective.correspondence import correspondence
from segdistill.training.batch import Batch
from segdistill.training.early_stopping import AgreementRecord
from segdistill.training.loop import StepRecord
from segdistill.training.losses import sample_batch
from segdistill.training.modules import TrainingModules
from segdistill.training.training_set import TrainingSet

PANELS = 4
PANEL_SIDE = 256
HISTOGRAM_VALUES = 100_000
"""Bound on the pairs that go into a histogram."""

PROBE_METRICS = ("clusters", "linear", "linear_accuracy")


class TrainingLog:
    """Writes what TensorBoard shows.

    Args:
        folder: of the log.
        first_step: steps done by an earlier run that this one continues with.
    """

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        # What a run that was interrupted logged after its last checkpoint, or before its first, is
        # logged again.
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def losses(self, record: StepRecord) -> None:
        """Log the losses of a step, and what the probes reach."""
        for name, value in asdict(record).items():
            if name != "step":
                group = "probe" if name in PROBE_METRICS else "loss"
                self._writer.add_scalar(f"{group}/{name}", value, record.step)

    def agreement(self, record: AgreementRecord) -> None:
        """Log how well the clusters of codes keep neighbours in the features together."""
        self._writer.add_scalar("probe/neighbour_agreement", record.agreement, record.step)

    def correlations(
        self,
        step: int,
        modules: TrainingModules,
        batch: Batch,
        data: TrainingSet,
        settings: FitSettings,
    ) -> None:
        """Log how feature and code correlations of each kind of pair are distributed."""
        with torch.no_grad():
            parts = sample_batch(modules.head, batch, data, settings)
            for kind, other in (
                ("self", parts.anchors),
                ("neighbour", parts.positives),
                ("random", parts.negatives.paired(batch.partners[0])),
            ):
                for name in ("features", "codes"):
                    values = correspondence(getattr(parts.anchors, name), getattr(other, name))
                    flat = values.flatten()
                    stride = -(-len(flat) // HISTOGRAM_VALUES)
                    self._writer.add_histogram(
                        f"correlation/{name}_{kind}_pairs", flat[::stride].cpu(), step
                    )

    def panels(self, step: int, modules: TrainingModules, data: TrainingSet) -> None:
        """Log a few images, each beside its code in false colours and its clusters."""
        count = min(PANELS, len(data.maps))
        training = modules.training
        modules.eval()
        for index in np.linspace(0, len(data.maps) - 1, count).round().astype(int).tolist():
            raw = torch.from_numpy(data.maps[index].copy()).float()
            picture = panel(
                data.maps.views[index].load(),
                data.preparation(raw.to(modules.centres.device)),
                modules.head,
                modules.centres,
            )
            self._writer.add_image(f"panel/{index}", picture, step, dataformats="HWC")
        modules.train(training)

    def settings(self, settings: Mapping[str, Any], last: StepRecord) -> None:
        """Log the settings beside what was reached, for TensorBoard's HParams page.

        Args:
            settings: nested dictionaries of plain values.
            last: step of the training.
        """
        metrics = {f"final/{name}": v for name, v in asdict(last).items() if name != "step"}
        # add_hparams would start a second run in a folder of its own.
        for summary in hparams(flattened(settings), metrics):  # type: ignore[no-untyped-call]
            self._file_writer().add_summary(summary)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, last.step)

    def _file_writer(self) -> Any:
        writer: Any = self._writer
        return writer._get_file_writer()  # noqa: SLF001 - the way to its own folder

    def close(self) -> None:
        """Finish writing."""
        self._writer.close()


@torch.no_grad()
def panel(
    image: NDArray[np.uint8],
    features: torch.Tensor,
    head: SegmentationHead,
    centres: torch.Tensor,
) -> NDArray[np.uint8]:
    """Draw an image, its code's three strongest directions as colours, and its clusters.

    Args:
        image: shape (height, width, 3).
        features: prepared, shape (h, w, channels).
        head: from features to codes.
        centres: of the clusters, shape (clusters, code channels).

    Returns:
        The three pictures side by side, shape (rows, columns, 3).
    """
    codes = head(features[None]).permute(0, 3, 1, 2)  # (h, w, c) -> (1, d, h, w)
    nearest = cluster_similarity(codes, centres)[0].argmax(dim=0)
    colours = np.array(distinct_colours(len(centres)), np.uint8)
    scale = min(1.0, PANEL_SIDE / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    pictures = [image, false_colours(codes[0]), colours[nearest.cpu().numpy()]]
    return np.concatenate([_resized(each, size) for each in pictures], axis=1)


def false_colours(codes: torch.Tensor) -> NDArray[np.uint8]:
    """Show codes as colours: their three strongest principal components as red, green and blue.

    Args:
        codes: shape (channels, h, w).

    Returns:
        Array of shape (h, w, 3).

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


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Return nested settings under dotted names, as TensorBoard takes them.

    Example:
        >>> flattened({"head": {"channels": 70}, "classes": None})
        {'head.channels': 70, 'classes': 'none'}
    """
    flat: dict[str, bool | int | float | str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        elif value is None or (isinstance(value, Sequence) and not isinstance(value, str)):
            flat[f"{prefix}{name}"] = "none" if value is None else ", ".join(map(str, value))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    # Cells stay visible: what is on the grid is not smoothed.
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))
