"""Where and in which precision the numbers are worked out: decided here and nowhere else."""

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError


@dataclass(frozen=True)
class Compute:
    """A device and a precision, ready for use.

    Attributes:
        fabric: the Lightning Fabric object that places modules and tensors.
    """

    fabric: Fabric

    @property
    def precision(self) -> str:
        """Name of the precision, such as ``32-true``."""
        return str(self.fabric._precision.precision)  # noqa: SLF001 - no public name

    @property
    def device(self) -> torch.device:
        """Where modules and tensors are to be moved."""
        return self.fabric.device

    def autocast(self) -> "torch.autocast":
        """A context in which matrix products run in the chosen precision."""
        return self.fabric.autocast()  # type: ignore[return-value]


def choose_compute(device: DeviceName = "auto", precision: PrecisionName = "auto") -> Compute:
    """Choose a device and a precision.

    Args:
        device: ``auto`` takes the fastest present.
        precision: ``auto`` takes bfloat16 products on a GPU that has them, else float32.

    Raises:
        UserError: the device asked for is not present.

    Example:
        >>> choose_compute("cpu").device
        device(type='cpu')
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device is present; use --device auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: no Apple GPU is present; use --device auto or cpu")
    if precision == "auto":
        on_gpu = device in {"auto", "cuda"} and torch.cuda.is_available()
        precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
    return Compute(Fabric(accelerator=device, devices=1, precision=precision))
