"""Reading the stored values of depth maps from files of every kind."""

import math
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.library_warnings import without_library_warnings
from segdistill.decoding.numpy_files import mapped_array
from segdistill.decoding.tiff_damage import told_reason
from segdistill.errors import UnreadableImageError, missing_extra
from segdistill.files import check_regular
from segdistill.images.depth_pictures import (
    DepthFormat,
    UnreadableDepthError,
    Values,
    read_depth_picture,
    unpacked_depth,
)
from segdistill.images.float_maps import read_float_map

__all__ = ["DepthFormat", "UnreadableDepthError", "read_depth_values", "unpacked_depth"]

DEPTH_CHANNELS = frozenset(["z", "depth"])
"""Names, in lower case, of arrays and channels that hold depth."""


def read_depth_values(
    path: Path, packing: DepthFormat = "numbers", channel: str | None = None
) -> NDArray[np.float64]:
    """Read the stored values of a depth map, NaN where a picture has none.

    Args:
        path: an 8- or 16-bit PNG; a TIFF of integers or floats; a PFM, ``.npy``, ``.npz`` or
            ``.exr`` file. For pictures see
            :func:`~segdistill.images.depth_pictures.read_depth_picture`.
        packing: how a pixel of a colour image holds its value.
        channel: array of a ``.npz`` file, or channel of an ``.exr`` file.

    Returns:
        Array of shape (height, width).

    Raises:
        UnreadableDepthError: the file is missing, damaged or not a depth map.
    """
    suffix = path.suffix.lower()
    try:
        check_regular(path)
        # NaNs of the signalling kind, and numbers of 128 bits that are infinite in 64.
        with without_library_warnings, np.errstate(invalid="ignore", over="ignore"):
            if suffix == ".npy":
                values = _read_npy(path)
            elif suffix == ".npz":
                values = _read_npz(path, channel)
            elif suffix == ".exr":
                values = _read_exr(path, channel)
            elif suffix == ".pfm":
                values = _read_pfm(path)
            else:
                values = read_depth_picture(path, packing)
    except FileNotFoundError as error:
        raise UnreadableDepthError(f"{path}: no such depth map") from error
    except (UnreadableDepthError, MemoryError):
        raise
    except UnreadableImageError as error:
        raise UnreadableDepthError(str(error)) from error
    except Exception as error:
        # The readers of the libraries raise many types of errors for damaged files.
        known = told_reason(error) or getattr(error, "strerror", None)
        reason = known or "damaged or truncated"
        raise UnreadableDepthError(f"{path}: cannot be read as depth ({reason})") from error
    if values.ndim != 2 or values.size == 0:
        raise UnreadableDepthError(
            f"{path}: a depth map has one value per pixel, but this has shape {values.shape}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(np.float64)


def _read_npy(path: Path) -> Values:
    return _one_channel(path, mapped_array(path))


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
                raise UnreadableDepthError(f"{path}: cannot be read as depth (truncated)")
        with archive.open(entry) as file:
            return _one_channel(path, np.lib.format.read_array(file, allow_pickle=False))


def _one_channel(path: Path, values: Values) -> Values:
    if values.dtype.kind not in "iuf":
        raise UnreadableDepthError(f"{path}: must hold integers or floats, not {values.dtype}")
    # A channel axis is allowed: (1, height, width) or (height, width, 1).
    if values.ndim == 3 and 1 in {values.shape[0], values.shape[2]}:
        values = values[0] if values.shape[0] == 1 else values[:, :, 0]
    return np.array(values)


def _read_pfm(path: Path) -> Values:
    values = read_float_map(path)
    if values.ndim == 3:
        raise UnreadableDepthError(
            f"{path}: a PFM of three channels (PF); a depth map has one (Pf)"
        )
    return values


def _read_exr(path: Path, channel: str | None) -> Values:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        import OpenEXR  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnreadableDepthError(f"{path}: {missing_extra('OpenEXR', 'exr')}") from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            pixels = {name: np.array(each.pixels) for name, each in file.channels().items()}
    except MemoryError:
        raise
    except Exception as error:
        # Its reasons, such as "file has 0 parts", are about its own state.
        raise UnreadableDepthError(
            f"{path}: cannot be read as depth (damaged or truncated)"
        ) from error
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
