"""Runs a command with a backbone that asks for more memory than the process may have."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tests.helpers import TinyBackbone

import segdistill.api.fitting  # noqa: F401 - before the limit is set
from segdistill.backbones import BackboneEntry, registry
from segdistill.cli.main import main

ROOM = 400_000_000
LARGE = 10**11

ALLOCATIONS: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.ones(LARGE),
    "numpy": lambda: np.ones(LARGE),
    "Python": lambda: bytearray(LARGE),
    "file": lambda: np.memmap("/dev/zero", mode="c", shape=LARGE),
}


class Hungry(TinyBackbone):
    kind = "torch"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        ALLOCATIONS[self.kind]()
        return super().forward(images)


def run(kind: str, photos: str, out: str) -> int:
    """Fit, in a process of its own, since the limit is the process's."""
    Hungry.kind = kind
    registry._ENTRIES["hungry"] = BackboneEntry(
        "hungry", "embedded", "for tests", lambda _source: Hungry()
    )
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    return main(["fit", photos, "--backbone", "hungry", "--out", out, "--quiet"])
