"""Reading the stored values of depth maps from files of every kind."""

import math
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.decode import stored_values, upright
from segdistill.errors import UserError, missing_extra

DepthFormat = Literal["numbers", "carla", "tartanair", "float32-rgba"]
"""How a pixel holds its value.

``numbers``: as one number. ``carla``: as red + 256 green + 65536 blue, for 0 to 1000 metres.
``tartanair``: as the four bytes of a float32 in blue, green, red and alpha, in metres.
``float32-rgba``: the same in red, green, blue and alpha.
"""

Values = NDArray[np.generic]

CARLA_METRES = 1000.0
CARLA_STEPS = 2**24 - 1
BYTE_ORDERS = {"tartanair": (2, 1, 0, 3), "float32-rgba": (0, 1, 2, 3)}
GREY_MODES = frozenset(["L", "I", "F"])
DEPTH_CHANNELS = frozenset(["z", "depth"])
"""Names, in lower case, of arrays and channels that hold depth."""


class UnreadableDepthError(UserError):
    """A file that is named like a depth map but cannot be read as one."""


def read_depth_values(
    path: Path, packing: DepthFormat = "numbers", channel: str | None = None
) -> NDArray[np.float64]:
    """Read the stored values of a depth map, NaN where a GeoTIFF has no data.

    Args:
        path: an 8- or 16-bit PNG; a TIFF of integers or floats; a PFM, ``.npy``, ``.npz`` or
            ``.exr`` file.
        packing: how a pixel of a colour image holds its value.
        channel: array of a ``.npz`` file, or channel of an ``.exr`` file.

    Returns:
        Array of shape (height, width).

    Raises:
        UnreadableDepthError: the file is missing, damaged or not a depth map.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            values = _read_npy(path)
        elif suffix == ".npz":
            values = _read_npz(path, channel)
        elif suffix == ".exr":
            values = _read_exr(path, channel)
        else:
            values = _read_picture(path, packing)
    except FileNotFoundError as error:
        raise UnreadableDepthError(f"{path}: no such depth map") from error
    except (UnreadableDepthError, MemoryError):
        raise
    except Exception as error:
        # The readers of the libraries raise many types of errors for damaged files.
        raise UnreadableDepthError(f"{path}: cannot be read as depth ({error})") from error
    if values.ndim != 2 or values.size == 0:
        raise UnreadableDepthError(
            f"{path}: a depth map has one value per pixel, but this has shape {values.shape}"
        )
    return values.astype(np.float64)


def unpacked_depth(colours: NDArray[np.uint8], packing: DepthFormat) -> NDArray[np.float64]:
    """Return the metres that colours stand for.

    Args:
        colours: shape (height, width, 3) for ``carla`` and (height, width, 4) for the others.
        packing: one of the packed formats.

    Example:
        >>> unpacked_depth(np.array([[[255, 255, 255]]], np.uint8), "carla").tolist()
        [[1000.0]]
    """
    if packing == "carla":
        steps = colours[:, :, :3].astype(np.float64) @ np.array([1.0, 256.0, 65536.0])
        metres: NDArray[np.float64] = steps * (CARLA_METRES / CARLA_STEPS)
        return metres
    ordered = np.ascontiguousarray(colours[:, :, BYTE_ORDERS[packing]])
    # (height, width, 4) bytes -> (height, width, 1) floats
    return ordered.view("<f4")[:, :, 0].astype(np.float64)


def _read_npy(path: Path) -> Values:
    # Memory-mapped: a damaged header can claim any size.
    return _one_channel(path, np.lib.format.open_memmap(path, mode="r"))


def _read_npz(path: Path, channel: str | None) -> Values:
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        entry = archive.getinfo(names[_chosen(path, dict.fromkeys(names), channel, "array")])
        with archive.open(entry) as file:
            # A damaged header can claim any size.
            major, minor = np.lib.format.read_magic(file)
            read_header: Any = getattr(np.lib.format, f"read_array_header_{major}_{minor}")
            shape, _, dtype = read_header(file)
            if math.prod(shape) * dtype.itemsize > entry.file_size:
                raise UnreadableDepthError(f"{path}: cannot be read as depth (cut off)")
        with archive.open(entry) as file:
            return _one_channel(path, np.lib.format.read_array(file, allow_pickle=False))


def _one_channel(path: Path, values: Values) -> Values:
    if values.dtype.kind not in "iuf":
        raise UnreadableDepthError(f"{path}: must hold integers or floats, not {values.dtype}")
    # A channel axis is allowed: (1, height, width) or (height, width, 1).
    if values.ndim == 3 and 1 in {values.shape[0], values.shape[2]}:
        values = values[0] if values.shape[0] == 1 else values[:, :, 0]
    return np.array(values)


def _read_exr(path: Path, channel: str | None) -> Values:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        import OpenEXR  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnreadableDepthError(f"{path}: {missing_extra('OpenEXR', 'exr')}") from error
    with OpenEXR.File(str(path), separate_channels=True) as file:
        pixels = {name: np.array(each.pixels) for name, each in file.channels().items()}
    shades = [each for name, each in pixels.items() if name.rpartition(".")[2] != "A"]
    if channel is None and shades and all(map(partial(np.array_equal, shades[0]), shades)):
        return shades[0]
    return pixels[_chosen(path, pixels, channel, "channel")]


def _chosen(path: Path, names: Mapping[str, object], wanted: str | None, kind: str) -> str:
    """Return the name of the array or channel that holds depth."""
    if wanted is not None and wanted in names:
        return wanted
    if wanted is None and len(names) == 1:
        return next(iter(names))
    depth = [name for name in names if name.lower().rpartition(".")[2] in DEPTH_CHANNELS]
    if wanted is None and len(depth) == 1:
        return depth[0]
    shown = ", ".join(name[:40] for name in list(names)[:8]) or "none"
    reason = f"several {kind}s" if wanted is None else f"no {kind} {wanted!r}"
    raise UnreadableDepthError(
        f"{path}: {reason} ({shown}); name the one with depth: --depth.channel NAME"
    )


def _read_picture(path: Path, packing: DepthFormat) -> Values:
    if path.suffix.lower() == ".pfm":
        with path.open("rb") as file:
            if file.read(2) == b"PF":
                raise UnreadableDepthError(
                    f"{path}: a PFM of three channels (PF); a depth map has one (Pf)"
                )
    with Image.open(path) as image:
        image.load()
        if packing != "numbers":
            return _unpacked(path, image, packing)
        if image.mode in GREY_MODES or image.mode.startswith("I;16"):
            return stored_values(image)
        values = np.array(upright(image))
        if image.mode in {"RGB", "RGBA"} and (values[:, :, :3] == values[:, :, :1]).all():
            grey: Values = values[:, :, 0]
            return grey
        raise UnreadableDepthError(
            f"{path}: a colour image ({image.mode}); a depth map has one value per pixel. If the"
            " colours encode depth, say how: --depth.format carla or --depth.format tartanair"
        )


def _unpacked(path: Path, image: Image.Image, packing: DepthFormat) -> NDArray[np.float64]:
    needed = 3 if packing == "carla" else 4
    colours = np.array(upright(image))
    if image.mode not in {"RGB", "RGBA"} or colours.shape[2] < needed:
        raise UnreadableDepthError(
            f"{path}: --depth.format {packing} needs {needed} channels of 8 bits, but this is"
            f" {image.mode}"
        )
    return unpacked_depth(colours, packing)
