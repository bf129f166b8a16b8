"""Writes with libraries while files may have 100 000 bytes, as on a full disk; prints each error.

Run in a process of its own, since the limit is the process's.
"""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segdistill.errors import FullDiskError
from segdistill.files import atomic_path, write_text_atomically
from segdistill.runs.history import LOSSES, StepRecord
from segdistill.training.log import TrainingLog

LIMIT = 100_000
NOISE = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)


def atomically(name: str, write: Callable[[Path], object]) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        with atomic_path(folder / name) as temporary:
            write(temporary)

    return run


def write_log(folder: Path) -> None:
    log = TrainingLog(folder / "log")
    try:
        for step in range(1, 2000):
            log.losses(StepRecord(step, *[0.0] * len(LOSSES)), None)
            log._writer.add_image("noise", NOISE, step, dataformats="HWC")
    finally:
        log.close()


WRITERS = {
    "text": lambda folder: write_text_atomically(folder / "text.txt", "long" * LIMIT),
    "numpy": atomically("map.npy", lambda path: np.save(path, NOISE)),
    "Pillow": atomically("image.jpg", lambda path: Image.fromarray(NOISE).save(path, quality=99)),
    "torch": atomically("tensor.pt", lambda path: torch.save(torch.zeros(LIMIT), path)),
    "TensorBoard": write_log,
}


def write_all(folder: str) -> int:
    """Write with each library, and print how it failed."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    for name, write in WRITERS.items():
        try:
            write(Path(folder))
        except FullDiskError as error:
            print(f"{name}: {error}")  # noqa: T201
        else:
            print(f"{name}: nothing was noticed")  # noqa: T201
    return 0
