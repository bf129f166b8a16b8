"""Device, precision and batch size selection."""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError
from segdistill.processes import SINGLE_PROCESS, Group, in_group, lost_process_errors

FULL: PrecisionName = "32-true"
MIXED: PrecisionName = "bf16-mixed"
PIXELS_PER_CPU_THREAD = 150_000
MAX_PASSES = 8
"""Maximum number of batches that are computed at the same time on a CPU; bounds memory."""
PIXELS_PER_BATCH = {"cuda": 12_000_000, "mps": 4_000_000}


@dataclass(frozen=True)
class Compute:
    """A device, a precision, and the processes that compute together.

    Attributes:
        device: the device.
        precision: name of the precision: ``32-true`` or ``bf16-mixed``.
        group: the processes of the run.
        threads: number of threads for work that is split into independent portions on a CPU.
    """

    device: torch.device
    precision: str = FULL
    group: Group = SINGLE_PROCESS
    threads: int = 1

    @property
    def matrix_type(self) -> torch.dtype:
        """The type in which matrix products are computed where autocast does not decide."""
        return torch.float32 if self.precision == FULL else torch.bfloat16

    @property
    def matrix_type_on_cpu(self) -> torch.dtype:
        """The same for what is computed on the CPU, whatever the device."""
        return self.matrix_type if self.device.type == "cpu" else torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Return an autocast context for the chosen precision."""
        if self.precision == FULL:
            return nullcontext()
        return torch.autocast(self.device.type, self.matrix_type)


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
    kind = _fastest() if device == "auto" else device
    mixed = precision == MIXED or (precision == "auto" and has_bfloat16(kind))
    name = MIXED if mixed else FULL
    threads = max(1, torch.get_num_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if distributed and in_group():
        own, group = _join_group(device)
        return Compute(own, name, group, threads)
    # With its number, as tensors on it say: only then are the devices equal.
    chosen = torch.device(kind) if kind == "cpu" else torch.device(kind, 0)
    return Compute(chosen, name, threads=threads)


def _fastest() -> str:
    """Return the type of the fastest device of this machine."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _join_group(device: DeviceName) -> tuple[torch.device, Group]:
    """Join the process group; return the device of this process, and the group."""
    # Imports torch's compiler, which takes longer than to segment an image.
    from lightning_fabric import Fabric  # noqa: PLC0415

    size, here = int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(accelerator=device, devices=here, num_nodes=size // here, strategy="ddp")
    # Fabric logs a line for every process that joins.
    fabric_logger = logging.getLogger("lightning_fabric")
    level = fabric_logger.level
    fabric_logger.setLevel(logging.WARNING)
    try:
        with lost_process_errors():
            fabric.launch()
    finally:
        fabric_logger.setLevel(level)
    return fabric.device, Group(fabric.global_rank, fabric.world_size)


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

    Args:
        device: the device.
        thread_safe: whether threads may run the network at the same time; on a CPU, several
            batches are then computed at once (see :func:`~segdistill.passes.in_passes`).

    Attributes:
        pixels: maximum number of pixels in a batch.
        threads: number of threads for a batch on a CPU, when there are many.
        at_once: number of batches that may be computed at the same time.
    """

    def __init__(self, device: torch.device, *, thread_safe: bool = False) -> None:
        available = torch.get_num_threads()
        several = device.type == "cpu" and thread_safe
        self.threads = -(-available // MAX_PASSES) if several else available
        self.at_once = available // self.threads
        self.pixels = PIXELS_PER_BATCH.get(device.type, PIXELS_PER_CPU_THREAD * self.threads)

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
