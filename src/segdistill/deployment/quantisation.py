"""8-bit ONNX models: weights of matrix products as whole numbers, and what that loses."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.deployment.graph import IMAGES
from segdistill.deployment.onnx_file import quietly
from segdistill.model.segmenter import Segmenter

# Convolutions stay unchanged: those of single channels lose most (26 % of all places got another
# class on CamVid), and hold few weights. Nearly all weights are in matrix products.
QUANTISED = ["MatMul", "Gemm"]


def graph_input(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bring an image to the form and size in which a graph takes it.

    Args:
        segmenter: whose graph it is.
        image: shape (height, width, 3).

    Returns:
        Array of shape (1, 3, rows, columns), in 0..1.
    """
    viewed = segmenter.viewed(image).transpose(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
    return np.ascontiguousarray(viewed, np.float32) / np.float32(255)


def quantise(source: Path, target: Path, calibration: Iterable[NDArray[np.float32]] | None) -> None:
    """Write an ONNX file with 8-bit weights, one scale a channel.

    Both kinds of numbers are unsigned, so that no processor's sums overflow.

    Args:
        source: in floating point.
        target: where to.
        calibration: inputs that tell the range of what is between layers, which then is fixed
            ('static', with QuantizeLinear and DequantizeLinear, as accelerators want it); ``None``
            measures it again for each image ('dynamic', for processors).
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
        # Products of two things that images make, as in attention, have no weights.
        "extra_options": {"MatMulConstBOnly": True},
    }
    prepared = target.with_name(f"prepared-{target.name}")
    with quietly():
        try:
            # Of the preparation that it asks for, the shapes alone: the rest happens on loading.
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
        """Hands over one input at a time."""

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            """Return the next input by name, or ``None`` after the last."""
            images = next(inputs, None)
            return None if images is None else {IMAGES: images}

    return Reader()
