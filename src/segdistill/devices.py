"""Device, precision and batch size selection."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError
from segdistill.processes import SINGLE_PROCESS, Group, in_group, lost_process_errors

PIXELS_PER_CPU_THREAD = 150_000
PIXELS_PER_BATCH = {"cuda": 12_000_000, "mps": 4_000_000}


@dataclass(frozen=True)
class Compute:
    """A device and a precision, set up with Lightning Fabric.

    Attributes:
        fabric: moves modules and tensors to the device.
        group: the processes of the run.
    """

    fabric: Fabric
    group: Group = SINGLE_PROCESS

    @property
    def precision(self) -> str:
        """Name of the precision, such as ``32-true``."""
        return str(self.fabric._precision.precision)  # noqa: SLF001 - no public name

    @property
    def device(self) -> torch.device:
        """The device."""
        return self.fabric.device

    def autocast(self) -> "torch.autocast":
        """Return an autocast context for the chosen precision."""
        return self.fabric.autocast()  # type: ignore[return-value]


def choose_compute(
    device: DeviceName = "auto", precision: PrecisionName = "auto", *, distributed: bool = False
) -> Compute:
    """Choose a device and a precision.

    Args:
        device: device to compute on; ``auto`` selects the fastest one available.
        precision: precision of matrix products; ``auto`` uses bfloat16 if the device supports it
            natively (see :func:`has_bfloat16`), otherwise float32.
        distributed: join the process group if this process is part of a distributed run (started
            by ``torchrun`` or ``--devices``); every process must do so.

    Raises:
        UserError: the device is not available.

    Example:
        >>> choose_compute("cpu").device
        device(type='cpu')
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device found; use --device auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: no Apple GPU found; use --device auto or cpu")
    full = _single_process(device)
    kind = full.device.type
    mixed = precision == "bf16-mixed" or (precision == "auto" and has_bfloat16(kind))
    if not (distributed and in_group()):
        return Compute(_single_process(device, mixed=kind) if mixed else full)
    size, here = int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=device,
        devices=here,
        num_nodes=size // here,
        strategy="ddp",
        **_precision(kind if mixed else None),
    )
    # Fabric logs a line for every process that joins.
    fabric_logger = logging.getLogger("lightning_fabric")
    level = fabric_logger.level
    fabric_logger.setLevel(logging.WARNING)
    try:
        with lost_process_errors():
            fabric.launch()
    finally:
        fabric_logger.setLevel(level)
    return Compute(fabric, Group(fabric.global_rank, fabric.world_size))


@cache
def _single_process(device: DeviceName, mixed: str | None = None) -> Fabric:
    # Each construction searches the installed packages for plugins, and each model needs one.
    return Fabric(accelerator=device, devices=1, **_precision(mixed))


def _precision(mixed: str | None) -> dict[str, Any]:
    """Return options of Fabric for full precision, or for bfloat16 on a type of device."""
    if mixed is None:
        return {"precision": "32-true"}
    # Passed as a plugin: Fabric prints to stderr if the precision is passed by name.
    plugin: Precision = MixedPrecision("bf16-mixed", mixed)
    return {"plugins": plugin}


def has_bfloat16(device_type: str) -> bool:
    """Return whether a device has native, and therefore faster, bfloat16 arithmetic.

    True for NVIDIA GPUs since Ampere (compute capability 8.0) and x86 CPUs with AVX512-BF16 or AMX.
    On other devices, bfloat16 is no faster than float32. Arm CPUs and Apple GPUs have not been
    measured and return ``False``.

    Args:
        device_type: type of an available device, such as ``cpu`` or ``cuda``.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    # Older versions of torch only have private functions for this.
    checks = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(check is not None and check() for check in checks)


class PixelBudget:
    """Batch size, limited by the number of pixels per forward pass.

    Small batches are fastest on a CPU: the feature maps of larger ones exceed the caches and are
    reallocated on every pass. On a GPU, batches are large enough to keep it busy, and are halved
    when they run out of memory.

    Example:
        >>> budget = PixelBudget(torch.device("cpu"))
        >>> budget.pixels = 500_000
        >>> budget.images(480, 640), budget.images(224, 224), budget.images(3000, 4000)
        (1, 9, 1)
    """

    def __init__(self, device: torch.device) -> None:
        per_thread = PIXELS_PER_CPU_THREAD * torch.get_num_threads()
        self.pixels = PIXELS_PER_BATCH.get(device.type, per_thread)

    def images(self, height: int, width: int) -> int:
        """Return the number of images per batch, at least 1."""
        return max(1, self.pixels // (height * width))

    def run(
        self, network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
    ) -> torch.Tensor:
        """Run a network on a batch; split the batch in half if the GPU runs out of memory.

        Splitting also lowers the budget for later batches.

        Args:
            images: shape (batch, channels, height, width).

        Raises:
            UserError: a single image does not fit in GPU memory.
        """
        try:
            return network(images)
        except torch.OutOfMemoryError as error:
            count, _, height, width = images.shape
            if count == 1:
                raise UserError(
                    f"an image of {width}x{height} pixels does not fit in GPU memory; lower"
                    " --resolution, or add --device cpu"
                ) from error
        # After the handler: inside it, the exception keeps the failed pass's tensors alive.
        torch.cuda.empty_cache()
        self.pixels = min(self.pixels, count // 2 * height * width)
        return torch.cat([self.run(network, half) for half in images.tensor_split(2)])
