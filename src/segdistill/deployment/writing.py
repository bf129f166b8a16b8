"""Writing a model as a graph, so that nothing but a checked one is ever left."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from segdistill.deployment.checking import Runner, check_graph, check_runs
from segdistill.deployment.graph import TracedGraph
from segdistill.deployment.loss import QuantisationLoss
from segdistill.deployment.metadata import metadata_of
from segdistill.deployment.onnx_file import onnx_model, onnx_runner, write_onnx
from segdistill.deployment.quantisation import graph_input, quantise
from segdistill.deployment.torch_program import program_runner, write_program
from segdistill.errors import UserError
from segdistill.files import atomic_path
from segdistill.images.decode import UnreadableImageError
from segdistill.images.folder import ImageFile
from segdistill.model.segmenter import Segmenter

CALIBRATION_IMAGES = 32
"""Most images that ranges are measured on; more tell hardly more."""

MeasureLoss = Callable[[Runner, Runner], QuantisationLoss]
"""From what runs a graph in floating point and in 8 bits to what the second loses."""


@dataclass(frozen=True)
class WrittenGraph:
    """A graph that was written.

    Attributes:
        path: of the file.
        bytes: its size.
        difference: the largest difference of class scores from the model's; that of the graph in
            floating point where it was then brought to 8 bits.
        loss: what 8-bit weights lose; ``None`` where it was not measured, or there are none.
    """

    path: Path
    bytes: int
    difference: float
    loss: QuantisationLoss | None = None


def write_torch_graph(traced: TracedGraph, path: Path) -> WrittenGraph:
    """Write a traced graph as ``torch.export`` does, if it does what the model does.

    Raises:
        UserError: it does not, or the file cannot be written.
    """
    with atomic_path(path) as temporary:
        write_program(traced, temporary, metadata_of(traced.graph.segmenter))
        difference = check_graph(traced.graph, program_runner(temporary), str(path))
        return WrittenGraph(path, temporary.stat().st_size, difference)


def write_onnx_graph(traced: TracedGraph, path: Path) -> WrittenGraph:
    """Write a traced graph as ONNX, if it does what the model does.

    Raises:
        UserError: it does not, or the file cannot be written.
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
        traced: the graph.
        path: where to.
        calibration: images on which ranges are measured; ``None`` leaves that to each run.
        measure: tells what is lost.

    Raises:
        UserError: before 8 bits the graph does not do what the model does; or it fails to run with
            them; or no image can be read; or the file cannot be written.
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


def spread(files: Sequence[ImageFile], most: int) -> list[ImageFile]:
    """Return at most so many of some images, evenly spread.

    Example:
        >>> [file.name.stem for file in spread([ImageFile(Path(n), Path(n)) for n in "abcde"], 3)]
        ['a', 'b', 'd']
    """
    count = min(most, len(files))
    return [files[index * len(files) // count] for index in range(count)]


def _inputs(segmenter: Segmenter, files: Sequence[ImageFile]) -> list[NDArray[np.float32]]:
    inputs = []
    for file in spread(files, CALIBRATION_IMAGES):
        with contextlib.suppress(UnreadableImageError):
            inputs.append(graph_input(segmenter, segmenter.read(file.path)))
    if not inputs:
        raise UserError(f"{files[0].path}: cannot be read, and as little the other images")
    return inputs
