"""Writing ONNX files, and running them with onnxruntime."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from segdistill.deployment.checking import Runner
from segdistill.deployment.graph import IMAGES, MASKS, SCORES, TracedGraph
from segdistill.errors import UserError, missing_extra

OPSET = 18
"""Supported by onnxruntime since 1.14 (2023)."""

PRODUCER = "segdistill"


def require_onnx() -> None:
    """Check that the packages for ONNX are installed.

    Raises:
        UserError: a package is missing.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX {missing_extra(' and '.join(missing), 'onnx')}")


def onnx_model(traced: TracedGraph) -> Any:
    """Convert a traced graph to an ``onnx.ModelProto``."""
    names = traced.graph.outputs
    with silence_exporters(), torch.no_grad():
        program = torch.onnx.export(
            traced.program,
            input_names=[IMAGES],
            output_names=list(names),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    model.producer_name = PRODUCER
    _name_sides(model, traced.graph.segmenter.backbone.stride)
    return model


def write_onnx(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an ONNX file.

    Args:
        model: an ``onnx.ModelProto``.
        path: output path.
        metadata: metadata to store in the file.
    """
    import onnx  # noqa: PLC0415 - an extra

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def onnx_runner(path: Path) -> Runner:
    """Return a function that runs an ONNX file on the CPU with torch's number of threads."""
    import onnxruntime  # noqa: PLC0415 - an extra

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Any) -> Any:
        return session.run(None, {IMAGES: images})

    return run


@contextlib.contextmanager
def silence_exporters() -> Iterator[None]:
    """Silence the warnings and log messages of the exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def _name_sides(model: Any, stride: int) -> None:
    """Name the dynamic dimensions of inputs and outputs."""
    grid = [f"height/{stride}", f"width/{stride}"] if stride > 1 else ["height", "width"]
    names: dict[str, list[str | None]] = {
        IMAGES: ["batch", None, "height", "width"],
        SCORES: ["batch", None, *grid],
        MASKS: ["batch", "height", "width"],
    }
    for value in (*model.graph.input, *model.graph.output):
        sides: list[Any] = list(value.type.tensor_type.shape.dim)
        for side, name in zip(sides, names[value.name], strict=True):
            if name is not None:
                side.dim_param = name
    # Intermediate values have other dimension names and are not needed.
    del model.graph.value_info[:]
