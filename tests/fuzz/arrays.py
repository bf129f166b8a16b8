"""Targets: numbers in formats that the library reads itself."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.io import savemat

from segdistill.decoding import matlab
from segdistill.decoding.matlab import MatlabFileError, read_matlab_array
from segdistill.decoding.tiff_header import (
    has_mask_picture,
    read_tiff_header,
    read_tiff_tag,
    tiff_header,
)
from segdistill.features.entry import DamagedEntryError, EntryKind, read_entry, write_entry
from segdistill.images.depth_reading import read_depth_values
from segdistill.labels.label_pixels import read_label_pixels
from tests.corpus.tiff import Photometric, no_data_tag, write_tiff
from tests.fuzz.target import Target
from tests.fuzz.writing import written

MOST_VALUES = 2**20
"""In place of the library's own limits, so that a large array that is allowed is no finding."""


def arrays() -> list[Target]:
    """Return the targets."""
    return [
        Target("matlab", _matlab, _matlab_seeds, errors=(MatlabFileError,)),
        Target("matlab_labels", _matlab_labels, _matlab_seeds, file="labels.mat"),
        Target("tiff_header", _tiff_header, tiff_seeds, errors=()),
        Target("store_entry", _store_entry, _store_entry_seeds, errors=(DamagedEntryError,)),
        Target("pfm", _Depth("depth.pfm"), _pfm_seeds, file="depth.pfm"),
        Target("npy_depth", _Depth("depth.npy"), npy_seeds, file="depth.npy"),
        Target("npz_depth", _Depth("depth.npz"), _npz_seeds, file="depth.npz"),
    ]


def _matlab(content: bytes, folder: Path) -> None:
    with patch.object(matlab, "MOST_VALUES", MOST_VALUES):
        values = read_matlab_array(content, "gt")
    assert values.ndim >= 2
    assert 0 < values.size <= MOST_VALUES
    assert values.dtype.kind in "iuf"


def _matlab_labels(content: bytes, folder: Path) -> None:
    path = folder / "labels.mat"
    path.write_bytes(content)
    with patch.object(matlab, "MOST_VALUES", MOST_VALUES):
        pixels = read_label_pixels(path)
    assert pixels.values.ndim == 2
    assert pixels.values.dtype == np.int64


def _matlab_seeds() -> list[bytes]:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = []
    for array in (values, values.astype(float), np.stack([values] * 3, axis=2)):
        for compressed in (False, True):
            buffer = io.BytesIO()
            savemat(buffer, {"a": "text", "gt": array}, do_compression=compressed)
            found.append(buffer.getvalue())
    return found


def _tiff_header(content: bytes, folder: Path) -> None:
    path = folder / "image.tif"
    path.write_bytes(content)
    header = tiff_header(io.BytesIO(content))
    assert read_tiff_header(path) == header
    assert isinstance(read_tiff_tag(path, 274), int)
    assert has_mask_picture(path) in {True, False}
    if header is not None:
        assert min(header.height, header.width) > 0
        _ = header.turn, header.is_deep, header.is_exact_in_pillow, header.is_possible
        assert sorted(header.upright_size) == sorted((header.height, header.width))


def tiff_seeds() -> list[bytes]:
    """Return small TIFFs of several kinds."""
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colours = np.stack([grey] * 3, axis=2)
    kinds = [
        written("a.tif", write_tiff, grey),
        written("a.tif", write_tiff, grey.astype(np.float32), big_endian=True),
        written("a.tif", write_tiff, colours.astype(np.uint16), Photometric.RGB, planar=True),
        written("a.tif", write_tiff, grey.astype(np.int16), tags=no_data_tag(-3)),
        written("a.tif", write_tiff, [grey, grey], subfile=[0, 4]),
        written("a.tif", write_tiff, grey // 4, Photometric.WHITE_IS_ZERO, bits=2),
    ]
    big = struct.pack("<4sHHQ", b"II+\0", 8, 0, 16) + struct.pack("<Q", 3)
    for tag, value in ((256, 4), (257, 3), (274, 6)):
        big += struct.pack("<HHQQ", tag, 4, 1, value)
    return [*kinds, big + struct.pack("<Q", 0)]


KIND = EntryKind("0af3", (2, 3, 4))


def _store_entry(content: bytes, folder: Path) -> None:
    path = folder / "entry.npy"
    path.write_bytes(content)
    unchecked: Sequence[object] | None = None
    try:
        unchecked = read_entry(path, KIND, check=False).tolist()
    finally:
        values = read_entry(path, KIND, check=True)
    assert values.shape == KIND.shape
    assert values.dtype == np.float16
    assert np.isfinite(values).all()
    assert unchecked == values.tolist()
    # An entry without a seal was given one.
    assert read_entry(path, KIND, check=True).tolist() == unchecked


def _store_entry_seeds() -> list[bytes]:
    values = np.arange(1, 25, dtype=np.float16).reshape(KIND.shape)
    sealed = written("entry.npy", write_entry, KIND.key, values)
    return [sealed, sealed[:-16]]


class _Depth:
    """Reads a depth map from a file of a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, content: bytes, folder: Path) -> None:
        path = folder / self.name
        path.write_bytes(content)
        values = read_depth_values(path)
        assert values.ndim == 2
        assert values.size
        assert values.dtype == np.float64


def _pfm_seeds() -> list[bytes]:
    values = np.arange(6, dtype="<f4").tobytes()
    return [
        b"Pf\n3 2\n-1.0\n" + values,
        b"Pf\r\n3 2\r\n1.0\r\n" + values,
        b"PF\n# a comment\n1 2\n-1e0\n" + values,
    ]


def npy_seeds() -> list[bytes]:
    """Return arrays as numpy writes them."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = []
    for array in (values, values[None].astype(np.uint16), np.asfortranarray(values), values[0] > 1):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append(buffer.getvalue())
    return found


def _npz_seeds() -> list[bytes]:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = []
    for save in (np.savez, np.savez_compressed):
        for named in ({"depth": values}, {"depth": values, "other": values[0]}, {"x": values}):
            buffer = io.BytesIO()
            save(buffer, **named)
            found.append(buffer.getvalue())
    return found
