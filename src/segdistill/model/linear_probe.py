"""The linear probe: how much a linear classifier finds in the codes, given labels.

A measure of the codes, never a part of the product's way from images to masks.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from segdistill.errors import UserError
from segdistill.files import atomic_path

PROBE_FILE = "linear_probe.safetensors"


class LinearProbe(nn.Linear):
    """A linear map from codes to label classes (STEGO, section 4.2).

    Args:
        channels: of the codes.
        classes: of the labels.

    Example:
        >>> LinearProbe(4, 3).scores(torch.rand(1, 4, 2, 5)).shape
        torch.Size([1, 3, 2, 5])
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            codes: shape (batch, channels, height, width).

        Returns:
            Tensor of shape (batch, classes, height, width).
        """
        logits: torch.Tensor = self(codes.movedim(1, -1))  # (b, c, h, w) -> (b, h, w, classes)
        return logits.movedim(-1, 1)


def write_linear_probe(probe: LinearProbe, folder: Path) -> None:
    """Write a probe into a run folder, in place of one that is there."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in probe.state_dict().items()}
    with atomic_path(folder / PROBE_FILE) as temporary:
        temporary.write_bytes(save(tensors))


def read_linear_probe(folder: Path) -> LinearProbe | None:
    """Read the probe of a run folder, if it has one.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / PROBE_FILE
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        classes, channels = tensors["weight"].shape
        probe = LinearProbe(channels, classes)
        probe.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read as a linear probe ({error})") from error
    return probe.eval()
