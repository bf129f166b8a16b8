"""Where, in which precision and how many at a time: decided here and nowhere else."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError
from segdistill.processes import ALONE, Group, in_group, told_if_lost

PIXELS_A_CPU_THREAD = 150_000
PIXELS_AT_ONCE = {"cuda": 12_000_000, "mps": 4_000_000}


@dataclass(frozen=True)
class Compute:
    """A device and a precision, ready for use.

    Attributes:
        fabric: the Lightning Fabric object that places modules and tensors.
        group: the processes that work together.
    """

    fabric: Fabric
    group: Group = ALONE

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


def choose_compute(
    device: DeviceName = "auto", precision: PrecisionName = "auto", *, distributed: bool = False
) -> Compute:
    """Choose a device and a precision.

    Args:
        device: ``auto`` takes the fastest present.
        precision: ``auto`` takes bfloat16 products where the device computes them itself (see
            :func:`has_bfloat16`), else float32.
        distributed: join the other processes, if this one was started as one of several (by
            ``torchrun``, or by ``--devices``); they must all ask for it.

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
    where: dict[str, Any] = {"accelerator": device, "devices": 1}
    joined = distributed and in_group()
    if joined:
        size, here = int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        where |= {"devices": here, "num_nodes": size // here, "strategy": "ddp"}
    kind = Fabric(accelerator=device, devices=1, precision="32-true").device.type
    if precision == "bf16-mixed" or (precision == "auto" and has_bfloat16(kind)):
        # Given as a plugin, since Fabric announces a precision given by name on standard error.
        mixed: Precision = MixedPrecision("bf16-mixed", kind)
        fabric = Fabric(**where, plugins=mixed)
    else:
        fabric = Fabric(**where, precision="32-true")
    if not joined:
        return Compute(fabric)
    # Fabric tells of every process that joins.
    fabric_logger = logging.getLogger("lightning_fabric")
    level = fabric_logger.level
    fabric_logger.setLevel(logging.WARNING)
    try:
        with told_if_lost():
            fabric.launch()
    finally:
        fabric_logger.setLevel(level)
    return Compute(fabric, Group(fabric.global_rank, fabric.world_size))


def has_bfloat16(device_type: str) -> bool:
    """Return whether a device multiplies bfloat16 numbers itself, and therefore faster.

    NVIDIA GPUs do from Ampere on (compute capability 8.0), x86 processors with AVX512-BF16 or AMX.
    Others take as long as for float32, or longer. Arm processors and Apple GPUs count as others
    until somebody has measured them.

    Args:
        device_type: such as ``cpu`` or ``cuda``; the device is present.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    # Older versions of torch tell it under private names alone.
    checks = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(check is not None and check() for check in checks)


class PixelBudget:
    """How many images go through a network at a time.

    On a CPU few are best: the maps of more images outgrow the caches, and the system hands out the
    memory for them anew each time. On a GPU as many are taken as keep it busy; if its memory does
    not hold them, half, and so on.

    Args:
        device: of the network.

    Example:
        >>> budget = PixelBudget(torch.device("cpu"))
        >>> budget.pixels = 500_000
        >>> budget.images(480, 640), budget.images(224, 224), budget.images(3000, 4000)
        (1, 9, 1)
    """

    def __init__(self, device: torch.device) -> None:
        a_thread = PIXELS_A_CPU_THREAD * torch.get_num_threads()
        self.pixels = PIXELS_AT_ONCE.get(device.type, a_thread)

    def images(self, height: int, width: int) -> int:
        """Return how many images to take at a time, at least 1.

        Args:
            height: of each, in pixels.
            width: of each, in pixels.
        """
        return max(1, self.pixels // (height * width))

    def run(
        self, network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
    ) -> torch.Tensor:
        """Run a network over a batch; in halves if the GPU's memory does not hold the whole.

        The budget is then lowered, so that later batches are smaller from the start.

        Args:
            network: batch to batch.
            images: shape (batch, channels, height, width).

        Raises:
            UserError: the memory does not hold a single image.
        """
        try:
            return network(images)
        except torch.OutOfMemoryError as error:
            count, _, height, width = images.shape
            if count == 1:
                raise UserError(
                    f"the GPU's memory does not hold one image of {width}x{height} pixels; lower"
                    " --resolution, or add --device cpu"
                ) from error
        # Not in the handler: there the error still holds the memory of the pass that failed.
        torch.cuda.empty_cache()
        self.pixels = min(self.pixels, count // 2 * height * width)
        return torch.cat([self.run(network, half) for half in images.tensor_split(2)])
