"""Depth maps as 16-bit PNGs with a ``depth.json``, and colour previews."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from segdistill.decoding.pillow_images import opened_quietly
from segdistill.depth.estimator import DepthEstimator
from segdistill.files import atomic_path, write_text_atomically
from segdistill.images.depth import normalise_depth
from segdistill.images.depth_files import DepthDescription, EstimateKind
from segdistill.json_files import as_checked_json
from segdistill.layout import DEPTH_FILE
from segdistill.version import __version__

INVALID = 0
MAX_STEPS = 65535
STEPS_PER_METRE = 256
"""As in KITTI depth maps and in `segdistill sample`: about 4 mm per step, 256 m at most."""

MODEL_TAG = "segdistill depth"
"""Key of the PNG text field, and prefix of the JPEG comment, that store the model."""

PREVIEW_QUALITY = 90
PREVIEW_COLOURS = "inferno"
"""Colour map from far to near; its lightness increases, so the order is visible in greyscale."""


def description_of(estimator: DepthEstimator) -> DepthDescription:
    """Return the description of the maps of an estimator."""
    return DepthDescription(
        version=__version__,
        model=estimator.source,
        licence=estimator.licence,
        kind=estimator.kind,
        scale=1 / STEPS_PER_METRE if estimator.kind == "depth" else None,
        invalid=INVALID,
    )


def write_description(folder: Path, description: DepthDescription) -> None:
    """Write ``depth.json``."""
    write_text_atomically(folder / DEPTH_FILE, as_checked_json(description))


def encode_depth(estimate: NDArray[np.float32], kind: EstimateKind) -> NDArray[np.uint16]:
    """Encode a depth map as 16-bit integers.

    Inverse depth has no unit and is scaled to 1..65535. Depth in metres is stored in steps of
    1/256 m, at least 1. Values that are not finite are stored as 0.

    Example:
        >>> encode_depth(np.array([[0.5, 2.0, np.nan]], np.float32), "depth").tolist()
        [[128, 512, 0]]
        >>> encode_depth(np.array([[0.5, 2.0, np.nan]], np.float32), "inverse").tolist()
        [[1, 65535, 0]]
    """
    if kind == "depth":
        steps = estimate.astype(np.float64) * STEPS_PER_METRE
    else:
        steps = 1 + normalise_depth(estimate).astype(np.float64) * (MAX_STEPS - 1)
    known = np.isfinite(steps)
    whole = np.where(known, steps.round().clip(1, MAX_STEPS), INVALID)
    return whole.astype(np.uint16)


def write_depth(path: Path, steps: NDArray[np.uint16], model: str) -> None:
    """Write an encoded depth map as a 16-bit PNG that also stores the model."""
    about = PngImagePlugin.PngInfo()
    about.add_itxt(MODEL_TAG, model)
    with atomic_path(path) as temporary:
        Image.fromarray(steps).save(temporary, format="PNG", pnginfo=about)


def read_encoded_depth(path: Path) -> NDArray[np.uint16]:
    """Read an encoded depth map written by :func:`write_depth`."""
    with opened_quietly(path) as image:
        return np.array(image).astype(np.uint16)


def colour_depth(steps: NDArray[np.uint16], kind: EstimateKind) -> NDArray[np.uint8]:
    """Return a colour image of an encoded depth map: near is light, far dark, invalid grey.

    Shapes: (height, width) to (height, width, 3).
    """
    from matplotlib import colormaps  # noqa: PLC0415 - only previews need it

    known = steps != INVALID
    values = np.where(known, steps, np.nan).astype(np.float32)
    nearness = normalise_depth(-values if kind == "depth" else values)
    # (height, width) -> (height, width, 4) -> (height, width, 3)
    picture: NDArray[np.uint8] = colormaps[PREVIEW_COLOURS](nearness, bytes=True)[:, :, :3]
    picture[~known] = 128
    return picture


def write_preview(path: Path, steps: NDArray[np.uint16], kind: EstimateKind, model: str) -> None:
    """Write a colour preview as a JPEG that also stores the model."""
    with atomic_path(path) as temporary:
        Image.fromarray(colour_depth(steps, kind)).save(
            temporary, format="JPEG", quality=PREVIEW_QUALITY, comment=f"{MODEL_TAG} {model}"
        )


def stored_model(path: Path) -> str | None:
    """Return the model stored in a depth map or preview; ``None`` if not from segdistill."""
    try:
        with opened_quietly(path) as image:
            text, comment = image.info.get(MODEL_TAG), image.info.get("comment", b"")
    except (OSError, SyntaxError, ValueError):
        return None
    if isinstance(text, str):
        return str(text)
    stored = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    return stored.removeprefix(f"{MODEL_TAG} ") if stored.startswith(f"{MODEL_TAG} ") else None
