"""ONNX: writing, 8-bit quantisation, and running with onnxruntime."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.deployment.checking import Runner
from segdistill.deployment.graph import IMAGES, MASKS, SCORES, TracedGraph, silent_exporters
from segdistill.errors import UserError, missing_extra

OPSET = 18
"""Supported by onnxruntime since 1.14 (2023)."""

# Convolutions stay in floating point: depthwise ones lose the most accuracy (26% of locations
# changed class on CamVid) and have few weights. Nearly all weights are in matrix products.
QUANTISED = ["MatMul", "Gemm"]


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
    with silent_exporters(), torch.no_grad():
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
    model.producer_name = "segdistill"
    _name_sides(model, traced.graph.segmenter.backbone.stride)
    return model


def write_onnx(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an ``onnx.ModelProto`` with metadata to a file."""
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


def quantise(source: Path, target: Path, calibration: Iterable[NDArray[np.float32]] | None) -> None:
    """Write an ONNX file with 8-bit matrix products and per-channel scales.

    Weights and activations are unsigned, to avoid overflow on any CPU.

    Args:
        calibration: inputs to measure fixed activation ranges on (static quantisation with
            QuantizeLinear and DequantizeLinear, for accelerators); ``None`` measures the ranges at
            run time (dynamic quantisation, for CPUs).
    """
    from onnxruntime.quantization import (  # noqa: PLC0415 - an extra
        QuantType,
        quantize_dynamic,
        quantize_static,
        shape_inference,
    )

    options: dict[str, Any] = {
        "op_types_to_quantize": QUANTISED,
        "per_channel": True,
        "weight_type": QuantType.QUInt8,
        # Products of two activations, as in attention, have no weights.
        "extra_options": {"MatMulConstBOnly": True},
    }
    prepared = target.with_name(f"prepared-{target.name}")
    with silent_exporters():
        try:
            # Only ONNX shape inference; the graph is optimised on loading.
            shape_inference.quant_pre_process(
                source, prepared, skip_optimization=True, skip_symbolic_shape=True
            )
            if calibration is None:
                quantize_dynamic(prepared, target, **options)
            else:
                reader = _reader(iter(calibration))
                options["activation_type"] = QuantType.QUInt8
                quantize_static(prepared, target, reader, **options)
        finally:
            prepared.unlink(missing_ok=True)


def _reader(inputs: Iterator[NDArray[np.float32]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415 - an extra

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Provides one input at a time."""

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            """Return the next input by name, or ``None`` after the last."""
            images = next(inputs, None)
            return None if images is None else {IMAGES: images}

    return Reader()


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
