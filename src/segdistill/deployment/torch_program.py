"""``torch.export``: writing a traced graph as a ``.pt2`` file, and running one."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segdistill.deployment.checking import Runner
from segdistill.deployment.graph import TracedGraph

METADATA_FILE = "segdistill.json"
"""Beside the graph, within the file; read with ``torch.export.load(..., extra_files=...)``."""


def write_program(traced: TracedGraph, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a traced graph.

    Args:
        traced: the graph.
        path: where to, ending with ``.pt2``.
        metadata: to go with it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own internals
        torch.export.save(
            traced.program, path, extra_files={METADATA_FILE: json.dumps(dict(metadata))}
        )


def program_runner(path: Path) -> Runner:
    """Return what runs a ``.pt2`` file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(images: Any) -> Any:
        with torch.no_grad():
            return [each.numpy() for each in module(torch.from_numpy(images))]

    return run
