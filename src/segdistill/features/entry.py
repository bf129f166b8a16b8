"""One entry of the feature store: a NumPy file with a seal at its end.

::

    header      as of numpy.save, 128 bytes for feature maps
    values      row by row
    seal        16 bytes: a mark, and the checksum of the entry's key, header and values

NumPy reads such a file and ignores the seal. Shape and type are known to whoever reads an entry, so
the header is compared with the one expected and never interpreted. Entries of older versions have
no seal; see :func:`check_unsealed`.
"""

import contextlib
import os
import stat
import struct
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import DTypeLike, NDArray

SEAL = struct.Struct("<8sQ")
SEAL_MARK = b"segdsum1"
HALF_INFINITY = 0x7C00
"""Bits of infinity as a float16; those of NaN are larger."""


class DamagedEntryError(ValueError):
    """A stored entry is not what was written."""


class EntryKind(NamedTuple):
    """What an entry must be, known before it is read.

    Attributes:
        key: hexadecimal key, part of the checksum.
        shape: shape of the array.
        dtype: type of its values.
    """

    key: str
    shape: tuple[int, ...]
    dtype: DTypeLike = np.float16

    @property
    def header(self) -> bytes:
        """The first bytes of the file."""
        return _header(self.shape, np.dtype(self.dtype))

    @property
    def size(self) -> int:
        """Size of the file in bytes, with its seal.

        Example:
            >>> EntryKind("abcd", (2, 3, 4)).size
            192
        """
        values = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
        return len(self.header) + values + SEAL.size


def write_entry(path: Path, key: str, values: NDArray[Any]) -> None:
    """Write an array with its seal.

    Raises:
        OSError: the file cannot be written.
    """
    whole = np.ascontiguousarray(values)
    kind = EntryKind(key, whole.shape, whole.dtype)
    seal = _seal(kind, whole)
    # As bytes, since numpy's own writing hides the reason of a failure.
    with path.open("wb") as file:
        file.write(kind.header)
        file.write(whole.reshape(-1).view(np.uint8).data)
        file.write(seal)


def read_entry(path: Path, kind: EntryKind, *, check: bool) -> NDArray[Any]:
    """Memory-map an entry.

    Args:
        path: the file.
        kind: what it must be.
        check: also compare the values with the seal, which reads them all. An entry of an older
            version is checked by :func:`check_unsealed`, then sealed.

    Returns:
        Read-only array.

    Raises:
        FileNotFoundError: there is no entry.
        OSError: the file cannot be read.
        DamagedEntryError: the file is not what was written.
    """
    # Before it is opened: opening a pipe would wait for a writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedEntryError(f"{path}: not a file")
    header, without_seal = kind.header, kind.size - SEAL.size
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size not in {kind.size, without_seal}:
            raise DamagedEntryError(f"{path}: has {size} bytes instead of {kind.size}")
        if file.read(len(header)) != header:
            raise DamagedEntryError(f"{path}: holds another type or shape")
        values: NDArray[Any] = np.memmap(
            file, kind.dtype, "r", offset=len(header), shape=kind.shape
        )
        file.seek(without_seal)
        found = file.read()
    if check:
        _check(path, kind, values, found)
    return values


def _check(path: Path, kind: EntryKind, values: NDArray[Any], found: bytes) -> None:
    """Compare values with the seal that was found, which is empty in older versions."""
    expected = _seal(kind, values)
    if found and found != expected:
        raise DamagedEntryError(f"{path}: the checksum does not match")
    if not found:
        check_unsealed(path, values)
        # A store that cannot be written is checked in the same way next time.
        with contextlib.suppress(OSError), path.open("r+b") as file:
            file.seek(kind.size - SEAL.size)
            file.write(expected)


def check_unsealed(path: Path, values: NDArray[Any]) -> None:
    """Check a feature map without a seal for values that no backbone gives.

    Entries of older versions may stand for hours of computation, so they are kept if every value is
    finite and no location is zero in all channels, as in blocks that a disk has lost.

    Raises:
        DamagedEntryError: a value is not finite, or a location is zero.
    """
    if not all_finite(values):
        raise DamagedEntryError(f"{path}: holds values that are not finite")
    if not np.asarray(values).any(axis=-1).all():
        raise DamagedEntryError(f"{path}: holds locations without features")


@lru_cache(256)
def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    buffer = BytesIO()
    described = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": tuple(map(int, shape)),
    }
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _seal(kind: EntryKind, values: NDArray[Any]) -> bytes:
    checksum = xxhash.xxh3_64(kind.key.encode())
    checksum.update(kind.header)
    checksum.update(np.asarray(values).reshape(-1).view(np.uint8).data)
    return SEAL.pack(SEAL_MARK, checksum.intdigest())


def all_finite(values: NDArray[Any]) -> bool:
    """Return whether all values are finite; for float16, much faster than numpy's.

    Example:
        >>> [all_finite(np.array([1, value], np.float16)) for value in (-2, np.inf, -np.nan)]
        [True, False, False]
    """
    if values.dtype != np.float16:
        return bool(np.isfinite(values).all())
    magnitudes = np.asarray(values).view(np.uint16) & 0x7FFF
    return bool(magnitudes.max(initial=0) < HALF_INFINITY)
