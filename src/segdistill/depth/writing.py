"""Writing estimated depth: 16-bit PNGs, a description beside them, and pictures for display."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from segdistill.depth.estimator import DepthEstimator, EstimateKind
from segdistill.files import atomic_path, write_text_atomically
from segdistill.images.depth import normalise_depth
from segdistill.images.depth_files import DEPTH_FILE, PROGRAM
from segdistill.version import __version__

UNKNOWN = 0
GREATEST = 65535
STEPS_PER_METRE = 256
"""As in KITTI's depth maps and in `segdistill sample`: 4 mm a step, 256 m at most."""

MAKER = "segdistill depth"
"""The text field of the PNG, and the beginning of the comment of a preview, that name the model."""

PREVIEW_QUALITY = 90
# From far to near, each lighter than the last, so that the order shows without colours, too.
PREVIEW_COLOURS = np.array(
    [(12, 10, 46), (70, 24, 110), (150, 44, 106), (222, 84, 60), (250, 156, 30), (250, 240, 150)]
)


@dataclass(frozen=True)
class DepthDescription:
    """What ``depth.json`` says of the maps it lies beside.

    Attributes:
        program: that wrote them.
        version: of the program.
        model: hub id, or folder, of the network.
        licence: of its weights.
        kind: ``inverse``: larger is nearer, each map brought to 1..65535; ``depth``: larger is
            farther.
        scale: metres for each step, for ``depth``.
        invalid: the value of pixels of which nothing is known.
    """

    program: str
    version: str
    model: str
    licence: str
    kind: EstimateKind
    scale: float | None
    invalid: int

    def matches(self, said: dict[str, object]) -> bool:
        """Return whether a ``depth.json`` says the same but for the version."""
        return asdict(self) | {"version": ""} == said | {"version": ""}


def description_of(estimator: DepthEstimator) -> DepthDescription:
    """Return what is to be said of the maps of an estimator."""
    return DepthDescription(
        program=PROGRAM,
        version=__version__,
        model=estimator.source,
        licence=estimator.licence,
        kind=estimator.kind,
        scale=1 / STEPS_PER_METRE if estimator.kind == "depth" else None,
        invalid=UNKNOWN,
    )


def write_description(folder: Path, description: DepthDescription) -> None:
    """Write ``depth.json``."""
    text = json.dumps(asdict(description), indent=2)
    write_text_atomically(folder / DEPTH_FILE, f"{text}\n")


def encode_depth(estimate: NDArray[np.float32], kind: EstimateKind) -> NDArray[np.uint16]:
    """Turn an estimate into the integers that are stored.

    Inverse depth, which has no unit, is brought to 1..65535; depth in metres becomes steps of
    1/256 m, from 1 up. 0 stands for what is not a finite number.

    Args:
        estimate: shape (height, width).
        kind: what its numbers mean.

    Example:
        >>> encode_depth(np.array([[0.5, 2.0, np.nan]], np.float32), "depth").tolist()
        [[128, 512, 0]]
        >>> encode_depth(np.array([[0.5, 2.0, np.nan]], np.float32), "inverse").tolist()
        [[1, 65535, 0]]
    """
    if kind == "depth":
        steps = estimate.astype(np.float64) * STEPS_PER_METRE
    else:
        steps = 1 + normalise_depth(estimate).astype(np.float64) * (GREATEST - 1)
    known = np.isfinite(steps)
    whole = np.where(known, steps.round().clip(1, GREATEST), UNKNOWN)
    return whole.astype(np.uint16)


def write_depth(path: Path, steps: NDArray[np.uint16], model: str) -> None:
    """Write a depth map as 16-bit PNG that names the model that made it.

    Args:
        path: where to.
        steps: what :func:`encode_depth` gives.
        model: hub id or folder.
    """
    about = PngImagePlugin.PngInfo()
    about.add_itxt(MAKER, model)
    with atomic_path(path) as temporary:
        Image.fromarray(steps).save(temporary, format="PNG", pnginfo=about)


def read_steps(path: Path) -> NDArray[np.uint16]:
    """Read what :func:`write_depth` wrote."""
    with Image.open(path) as image:
        return np.array(image).astype(np.uint16)


def colour_depth(steps: NDArray[np.uint16], kind: EstimateKind) -> NDArray[np.uint8]:
    """Return a picture of a depth map: the nearer, the lighter; unknown is grey.

    Args:
        steps: what :func:`encode_depth` gives, shape (height, width).
        kind: what it was made of.

    Returns:
        Array of shape (height, width, 3).
    """
    known = steps != UNKNOWN
    values = np.where(known, steps, np.nan).astype(np.float32)
    nearness = normalise_depth(-values if kind == "depth" else values)
    anchors = np.linspace(0, 1, len(PREVIEW_COLOURS))
    channels = [np.interp(nearness, anchors, column) for column in PREVIEW_COLOURS.T]
    picture = np.stack(channels, axis=-1)  # 3 of (height, width) -> (height, width, 3)
    picture[~known] = 128
    return picture.round().astype(np.uint8)


def write_preview(path: Path, steps: NDArray[np.uint16], kind: EstimateKind, model: str) -> None:
    """Write the picture of :func:`colour_depth` as JPEG that names the model."""
    with atomic_path(path) as temporary:
        Image.fromarray(colour_depth(steps, kind)).save(
            temporary, format="JPEG", quality=PREVIEW_QUALITY, comment=f"{MAKER} {model}"
        )


def maker_of(path: Path) -> str | None:
    """Return the model that made a depth map or a preview, or ``None`` if segdistill did not."""
    try:
        with Image.open(path) as image:
            text, comment = image.info.get(MAKER), image.info.get("comment", b"")
    except (OSError, SyntaxError, ValueError):
        return None
    if isinstance(text, str):
        return str(text)
    said = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    return said.removeprefix(f"{MAKER} ") if said.startswith(f"{MAKER} ") else None
