"""Reading a numeric array from a MATLAB file of version 5 (``save -v6`` and ``-v7``).

scipy reads these files too, but a damaged file can crash it with a segmentation fault. Images and
labels are plain numeric arrays, so a small reader suffices; it follows MathWorks' 'MAT-File
Format' and checks every length before using it.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MATLAB_START = b"MATLAB "
"""First bytes of MATLAB files from version 5 on."""

MOST_VALUES = 3 * 178_956_970
"""Pillow's own limit; a small compressed file may claim far more."""

_HEADER_SIZE = 128
# Enough for the tag, class, shape and name of an array, which precede its values.
_HEAD_SIZE = 1024
_MATRIX = 14
_COMPRESSED = 15
_COMPLEX_FLAG = 0x800
# Storage types and array types: small integers are often stored in fewer bytes than the array's
# type has.
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}


class MatlabFileError(ValueError):
    """A file or array that cannot be read; the caller adds the file's name to the message."""


def read_matlab_array(content: bytes, key: str) -> NDArray[np.generic]:
    """Read an array of real numbers.

    Args:
        content: content of the file.
        key: name of the array.

    Returns:
        The array, with two or more dimensions.

    Raises:
        MatlabFileError: the file is damaged or of another version, or the array is missing, too
            large or not real.
    """
    order = _byte_order(content)
    held = []
    cursor = _Cursor(content, order, _HEADER_SIZE)
    while not cursor.at_end():
        kind, body = cursor.element(padded=False)
        if kind not in {_MATRIX, _COMPRESSED}:
            raise MatlabFileError("damaged (it holds something other than arrays)")
        head = _inflate(body, _HEAD_SIZE) if kind == _COMPRESSED else body
        array = _Head.read(_Cursor(head, order, 8 if kind == _COMPRESSED else 0))
        if array.name == key:
            array.check()
            whole = _inflate_whole(body, order, array) if kind == _COMPRESSED else body
            return array.values(_Cursor(whole, order, array.end))
        held.append(array.name)
    others = ", ".join(map(ascii, held)) or "nothing"
    raise MatlabFileError(f"holds no array {key!a}, only {others}")


@dataclass
class _Cursor:
    """A read position in a sequence of elements; each is a tag and its data.

    Attributes:
        data: bytes to read from.
        order: byte order, ``<`` or ``>``.
        at: index of the next byte to read.
    """

    data: bytes
    order: str
    at: int

    def at_end(self) -> bool:
        return self.at >= len(self.data)

    def numbers(self, kind: str, count: int) -> list[int]:
        """Read integers."""
        return [int(n) for n in np.frombuffer(self.take(count * int(kind[1])), self.order + kind)]

    def take(self, count: int) -> bytes:
        """Read bytes."""
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise MatlabFileError("damaged or truncated (it ends too early)")
        self.at += count
        return taken

    def element(self, *, padded: bool = True) -> tuple[int, bytes]:
        """Read an element: its type and its bytes.

        Args:
            padded: whether the next element begins at a multiple of 8 bytes.
        """
        (kind,) = self.numbers("u4", 1)
        if kind >> 16:
            # Small elements: up to four bytes in the tag itself, their count in its upper half.
            body = self.take(4)[: kind >> 16]
            return kind & 0xFFFF, body
        (size,) = self.numbers("u4", 1)
        body = self.take(size)
        if padded:
            self.at += -size % 8
        return kind, body


@dataclass(frozen=True)
class _Head:
    """Header of an array.

    Attributes:
        name: name of the array.
        kind: number of the array's class.
        is_complex: whether there is an imaginary part.
        shape: size of each dimension.
        end: cursor position at which the values begin.
    """

    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    end: int

    @classmethod
    def read(cls, cursor: _Cursor) -> "_Head":
        flags = _Cursor(cursor.element()[1], cursor.order, 0).numbers("u4", 1)[0]
        _, sizes = cursor.element()
        shape = _Cursor(sizes, cursor.order, 0).numbers("i4", len(sizes) // 4)
        name = cursor.element()[1].decode("latin-1")
        return cls(name, flags & 0xFF, bool(flags & _COMPLEX_FLAG), tuple(shape), cursor.at)

    def check(self) -> None:
        if self.kind not in _CLASSES or self.is_complex:
            raise MatlabFileError(f"{self.name} must be an array of real numbers")
        count = math.prod(self.shape)
        if len(self.shape) < 2 or min(self.shape) < 1 or count > MOST_VALUES:
            raise MatlabFileError(f"{self.name} has an unusable shape, {self.shape}")

    def values(self, cursor: _Cursor) -> NDArray[np.generic]:
        kind, body = cursor.element()
        if kind not in _STORED:
            raise MatlabFileError(f"damaged ({self.name} is stored in an unknown way)")
        stored = np.dtype(cursor.order + _STORED[kind])
        if len(body) != math.prod(self.shape) * stored.itemsize:
            raise MatlabFileError(f"damaged ({self.name} has too few or too many values)")
        values = np.frombuffer(body, stored).astype(_CLASSES[self.kind])
        return values.reshape(self.shape, order="F")


def _byte_order(content: bytes) -> str:
    if len(content) < _HEADER_SIZE:
        raise MatlabFileError("damaged or truncated (its header is not complete)")
    # The header ends with the version; its last two letters give the byte order.
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    version = content[125 if order == "<" else 124]
    if order and version == 2:
        raise MatlabFileError("a MATLAB 7.3 file, which cannot be read; save it again with -v7")
    if not order or version != 1:
        raise MatlabFileError("damaged, or not a MATLAB file of version 5")
    return order


def _inflate(body: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, most)
    except zlib.error as error:
        raise MatlabFileError(f"damaged ({error})") from error


def _inflate_whole(body: bytes, order: str, array: _Head) -> bytes:
    # It holds one matrix, whose values take at most 8 bytes each: an upper bound of its size.
    most = _HEAD_SIZE + 8 * math.prod(array.shape)
    inflater = zlib.decompressobj()
    try:
        whole = inflater.decompress(body, most)
    except zlib.error as error:
        raise MatlabFileError(f"damaged ({error})") from error
    if not inflater.eof or _Cursor(whole, order, 0).numbers("u4", 1) != [_MATRIX]:
        raise MatlabFileError("damaged or truncated (a compressed array is not complete)")
    return whole
