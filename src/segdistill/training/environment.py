"""What a run was made with, besides its settings."""

import platform

import numpy as np
import torch

from segdistill.devices import Compute
from segdistill.version import __version__


def environment_facts(compute: Compute) -> dict[str, str | int]:
    """Return versions, platform, device, precision and numbers of threads and processes.

    With the same of these, the same images and the same settings, a fit gives the same weights.
    """
    device = compute.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "segdistill": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device.type,
        "device_name": name,
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
        "processes": compute.group.size,
    }
