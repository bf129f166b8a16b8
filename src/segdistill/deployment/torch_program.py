"""Writing and running ``torch.export`` programs (``.pt2`` files)."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segdistill.deployment.checking import Runner
from segdistill.deployment.graph import TracedGraph

METADATA_FILE = "segdistill.json"
"""Extra file inside the ``.pt2`` file; read with ``torch.export.load(..., extra_files=...)``."""


def write_program(traced: TracedGraph, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a traced graph as a ``.pt2`` file.

    Args:
        traced: the graph.
        path: output path, ending in ``.pt2``.
        metadata: metadata to store in the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch internals
        torch.export.save(
            traced.program, path, extra_files={METADATA_FILE: json.dumps(dict(metadata))}
        )


def program_runner(path: Path) -> Runner:
    """Return a function that runs a ``.pt2`` file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(images: Any) -> Any:
        with torch.no_grad():
            return [each.numpy() for each in module(torch.from_numpy(images))]

    return run
