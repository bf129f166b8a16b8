"""Linear probe: a linear classifier on the codes, trained on labelled pixels.

It measures the quality of the codes and is never used to predict masks.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from segdistill.errors import UserError
from segdistill.images.palette import VOID
from segdistill.json_files import Text, from_json
from segdistill.layout import PROBE_FILE
from segdistill.model.tensor_files import read_tensor_file, write_tensor_file

FIX = "restore it from a copy, or train it again with `segdistill probe`"

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
    names = json.dumps(probe.names)
    write_tensor_file(folder / PROBE_FILE, probe.state_dict(), {NAMES_KEY: names})


def read_linear_probe(folder: Path) -> LinearProbe | None:
    """Read the probe of a run folder, if it has one.

    Raises:
        UserError: the file is damaged, or a number is not finite.
    """
    path = folder / PROBE_FILE
    if not path.exists():
        return None
    tensors, metadata = read_tensor_file(path, fix=FIX)
    names = from_json(
        metadata.get(NAMES_KEY, "[]"),
        tuple[Text, ...],
        name=str(path),
        what="a linear probe",
        fix=FIX,
    )
    try:
        probe = _probe_of(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a linear probe ({reason}); {FIX}") from error
    probe.names = names
    return probe.eval()


def _probe_of(tensors: dict[str, torch.Tensor]) -> LinearProbe:
    """Return the probe of these tensors; raises errors of many types if they do not fit."""
    classes, channels = tensors["weight"].shape
    if 0 in {classes, channels}:
        raise ValueError("it has no classes or no channels")
    # Allocate no memory yet: the bias may be another than the weights ask for.
    with torch.device("meta"):
        probe = LinearProbe(channels, classes)
    probe.load_state_dict({key: each.float() for key, each in tensors.items()}, assign=True)
    return probe


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
