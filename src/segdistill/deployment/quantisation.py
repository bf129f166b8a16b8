"""8-bit quantisation of the matrix products of ONNX models."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.deployment.graph import IMAGES
from segdistill.deployment.onnx_file import silence_exporters
from segdistill.model.segmenter import Segmenter

# Convolutions stay in floating point: depthwise ones lose the most accuracy (26 % of locations
# changed class on CamVid) and have few weights. Nearly all weights are in matrix products.
QUANTISED = ["MatMul", "Gemm"]


def graph_input(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Preprocess an image for a graph.

    Args:
        segmenter: the model of the graph.
        image: image, shape (height, width, 3).

    Returns:
        Array of shape (1, 3, rows, columns), in 0..1.
    """
    inputs = segmenter.viewed(image).transpose(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
    return np.ascontiguousarray(inputs, np.float32) / np.float32(255)


def quantise(source: Path, target: Path, calibration: Iterable[NDArray[np.float32]] | None) -> None:
    """Write an ONNX file with 8-bit weights and per-channel scales.

    Weights and activations are unsigned, to avoid overflow on any CPU.

    Args:
        source: the floating-point ONNX file.
        target: output path.
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
    with silence_exporters():
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
