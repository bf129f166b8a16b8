"""Linear probe: a linear classifier on the codes, trained on labelled pixels.

It measures the quality of the codes and is never used to predict masks.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from segdistill.backbones.finite import check_finite
from segdistill.errors import UserError
from segdistill.files import atomic_path
from segdistill.images.palette import VOID
from segdistill.layout import PROBE_FILE
from segdistill.weights.mistaken_files import refuse_mistaken

NAMES_KEY = "classes"
"""Key of the file's metadata that holds the names of the classes; earlier versions wrote none."""


class LinearProbe(nn.Linear):
    """A linear map from codes to label classes (STEGO, section 4.2).

    Args:
        channels: number of code channels.
        classes: number of label classes.

    Attributes:
        names: names of the classes; empty if unknown. There may be more than outputs, if the last
            classes did not occur in training.
        occurring: number of classes that occurred in training; 0 if unknown, as it is not stored.

    Example:
        >>> LinearProbe(4, 3).scores(torch.rand(1, 4, 2, 5)).shape
        torch.Size([1, 3, 2, 5])
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.names: tuple[str, ...] = ()
        self.occurring = 0

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the logits of code maps: (batch, channels, h, w) to (batch, classes, h, w)."""
        logits: torch.Tensor = self(codes.movedim(1, -1))  # (b, c, h, w) -> (b, h, w, classes)
        return logits.movedim(-1, 1)


def write_linear_probe(probe: LinearProbe, folder: Path) -> None:
    """Write a probe to a run folder, replacing any existing one."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in probe.state_dict().items()}
    with atomic_path(folder / PROBE_FILE) as temporary:
        temporary.write_bytes(save(tensors, {NAMES_KEY: json.dumps(probe.names)}))


def read_linear_probe(folder: Path) -> LinearProbe | None:
    """Read the probe of a run folder, if it has one.

    Raises:
        UserError: the file is damaged, or a number is not finite.
    """
    path = folder / PROBE_FILE
    if not path.exists():
        return None
    refuse_mistaken(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            names = json.loads((file.metadata() or {}).get(NAMES_KEY, "[]"))
        classes, channels = tensors["weight"].shape
        probe = LinearProbe(channels, classes)
        probe.load_state_dict(tensors)
        probe.names = tuple(str(name) for name in names)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read as a linear probe ({error})") from error
    check_finite(tensors, str(path))
    return probe.eval()


def labelled_pixels(
    labels: NDArray[np.int64], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw labelled pixels of ``labels``, shape (height, width), without replacement.

    Returns:
        Rows and columns of ``count`` pixels, or of all if there are fewer, shape (pixels, 2).
    """
    labelled = np.flatnonzero((labels >= 0) & (labels != VOID))
    drawn = random.permutation(labelled)[:count]
    return np.stack(np.divmod(drawn, labels.shape[1]), axis=1)


def sample_at_pixels(
    maps: torch.Tensor, pixels: NDArray[np.int64], size: tuple[int, int]
) -> torch.Tensor:
    """Sample maps at pixel centres with bilinear interpolation.

    Equal to upsampling the maps to the image size and indexing the pixels, but uses less memory.

    Args:
        maps: features, codes or colours of an image, shape (1, channels, h, w).
        pixels: rows and columns of the pixels, shape (pixels, 2).
        size: height and width of the image, in pixels.

    Returns:
        Tensor of shape (pixels, channels).

    Example:
        >>> ramp = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
        >>> sample_at_pixels(ramp, np.array([[0, 0], [0, 1], [0, 2], [0, 3]]), (1, 4)).mT.tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    points = (torch.from_numpy(pixels) + 0.5) / torch.tensor(size) * 2 - 1
    read = F.grid_sample(
        maps,
        points.flip(dims=(1,)).float()[None, None],  # (row, column) -> (x, y)
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return read[0, :, 0].mT  # (1, channels, 1, pixels) -> (pixels, channels)
