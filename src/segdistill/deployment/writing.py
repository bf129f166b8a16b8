"""Writing models as graphs; a file is only kept if it passes the checks."""

import contextlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.decoding.decode import UnreadableImageError
from segdistill.deployment.checking import Runner, check_graph, check_runs
from segdistill.deployment.graph import TracedGraph, graph_input, metadata_of
from segdistill.deployment.loss import QuantisationLoss
from segdistill.deployment.onnx_file import onnx_model, onnx_runner, quantise, write_onnx
from segdistill.errors import UserError
from segdistill.files import atomic_path
from segdistill.images.folder import ImageFile
from segdistill.inference.samples import evenly_spread
from segdistill.model.segmenter import Segmenter

METADATA_FILE = "segdistill.json"
"""Extra file inside the ``.pt2`` file; read with ``torch.export.load(..., extra_files=...)``."""

CALIBRATION_IMAGES = 32
"""Maximum number of calibration images; more make little difference."""

MeasureLoss = Callable[[Runner, Runner], QuantisationLoss]
"""Measures the effect of 8-bit weights from the floating-point and the 8-bit runner."""


@dataclass(frozen=True)
class WrittenGraph:
    """An exported graph.

    Attributes:
        path: path of the file.
        bytes: size of the file.
        difference: largest absolute difference of class scores from the model's, measured before
            quantisation.
        loss: effect of 8-bit weights; ``None`` if not measured or not quantised.
    """

    path: Path
    bytes: int
    difference: float
    loss: QuantisationLoss | None = None


def write_torch_graph(traced: TracedGraph, path: Path) -> WrittenGraph:
    """Write a traced graph with ``torch.export``, and check it against the model.

    Raises:
        UserError: the outputs differ from the model's, or the file cannot be written.
    """
    with atomic_path(path) as temporary:
        metadata = json.dumps(metadata_of(traced.graph.segmenter))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch internals
            # Not straight to the file: on a full disk, torch's writer ends the process.
            content = BytesIO()
            torch.export.save(traced.program, content, extra_files={METADATA_FILE: metadata})
            temporary.write_bytes(content.getbuffer())
        difference = check_graph(traced.graph, program_runner(temporary), str(path))
        return WrittenGraph(path, temporary.stat().st_size, difference)


def program_runner(path: Path) -> Runner:
    """Return a function that runs a ``.pt2`` file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(images: Any) -> Any:
        with torch.no_grad():
            return [each.numpy() for each in module(torch.from_numpy(images))]

    return run


def write_onnx_graph(traced: TracedGraph, path: Path) -> WrittenGraph:
    """Write a traced graph as ONNX, and check it against the model.

    Raises:
        UserError: the outputs differ from the model's, or the file cannot be written.
    """
    with atomic_path(path) as temporary:
        write_onnx(onnx_model(traced), temporary, metadata_of(traced.graph.segmenter))
        difference = check_graph(traced.graph, onnx_runner(temporary), str(path))
        return WrittenGraph(path, temporary.stat().st_size, difference)


def write_eight_bit_graph(
    traced: TracedGraph,
    path: Path,
    calibration: Sequence[ImageFile] | None,
    measure: MeasureLoss | None,
) -> WrittenGraph:
    """Write a traced graph as ONNX with 8-bit weights.

    Args:
        calibration: images to measure activation ranges on; ``None`` for dynamic quantisation.

    Raises:
        UserError: the outputs before quantisation differ from the model's, the 8-bit graph gives
            invalid scores, no image can be read, or the file cannot be written.
    """
    import onnx  # noqa: PLC0415 - an extra

    graph, metadata = traced.graph, metadata_of(traced.graph.segmenter)
    with atomic_path(path) as temporary, TemporaryDirectory() as folder:
        full = Path(folder, "full.onnx")
        write_onnx(onnx_model(traced), full, metadata)
        run_full = onnx_runner(full)
        difference = check_graph(graph, run_full, str(path))
        inputs = None if calibration is None else _inputs(graph.segmenter, calibration)
        quantise(full, temporary, inputs)
        write_onnx(onnx.load(temporary), temporary, metadata)
        run_eight_bit = onnx_runner(temporary)
        check_runs(graph, run_eight_bit, str(path))
        loss = measure(run_full, run_eight_bit) if measure else None
        return WrittenGraph(path, temporary.stat().st_size, difference, loss)


def _inputs(segmenter: Segmenter, files: Sequence[ImageFile]) -> list[NDArray[np.float32]]:
    inputs = []
    for file in evenly_spread(files, CALIBRATION_IMAGES):
        with contextlib.suppress(UnreadableImageError):
            inputs.append(graph_input(segmenter, segmenter.read(file.path)))
    if not inputs:
        raise UserError(f"{files[0].path}: cannot be read, and neither can the other images")
    return inputs
