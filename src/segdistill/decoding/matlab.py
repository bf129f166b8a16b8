"""Reading a numeric array from a MATLAB file of version 5 (``save -v6`` and ``-v7``).

scipy reads these files too, but damaged ones crash it with a segmentation fault, and it inflates a
compressed array of any size. Images and labels are plain numeric arrays, so a small reader
suffices; it follows MathWorks' 'MAT-File Format' and checks every length before using it.
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
# fmt: off
# Numbers of storage types and of array classes: small integers are often stored in fewer bytes
# than the array's class has.
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}
# fmt: on


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
    while cursor.at < len(content):
        kind, body = cursor.element(padded=False)
        if kind not in {_MATRIX, _COMPRESSED}:
            raise MatlabFileError("damaged (it contains something other than arrays)")
        packed = kind == _COMPRESSED
        head = _inflate(body, _HEAD_SIZE)[0] if packed else body
        array = _Head.read(_Cursor(head, order, 8 if packed else 0))
        if array.name == key:
            array.check()
            if packed:
                # It holds one matrix, whose values take at most 8 bytes each.
                body, complete = _inflate(body, _HEAD_SIZE + 8 * math.prod(array.shape))
                if not complete or _Cursor(body, order, 0).numbers("u4", 1) != [_MATRIX]:
                    raise MatlabFileError(
                        "damaged or truncated (a compressed array is not complete)"
                    )
            return array.values(_Cursor(body, order, array.end))
        held.append(array.name)
    others = ", ".join(map(ascii, held)) or "nothing"
    raise MatlabFileError(f"contains no array {key!a}, only {others}")


@dataclass
class _Cursor:
    """A read position in a sequence of elements; each is a tag and its data."""

    data: bytes
    order: str
    at: int

    def numbers(self, kind: str, count: int) -> list[int]:
        return [int(n) for n in np.frombuffer(self.take(count * int(kind[1])), self.order + kind)]

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise MatlabFileError("damaged or truncated (it ends too early)")
        self.at += count
        return taken

    def element(self, *, padded: bool = True) -> tuple[int, bytes]:
        """Read an element's type and bytes; after a padded one, skip to a multiple of 8 bytes."""
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
    """Header of an array, and the cursor position at which its values begin."""

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
            raise MatlabFileError(f"damaged ({self.name} is stored in an unknown format)")
        stored = np.dtype(cursor.order + _STORED[kind])
        if len(body) != math.prod(self.shape) * stored.itemsize:
            raise MatlabFileError(f"damaged ({self.name} has too few or too many values)")
        numbers = np.frombuffer(body, stored)
        with np.errstate(all="ignore"):
            values = numbers.astype(_CLASSES[self.kind])
        # Numbers are stored in a smaller type only if that changes none.
        if values.dtype.kind in "iu" and (values != numbers).any():
            raise MatlabFileError(
                f"damaged ({self.name} contains numbers that its type cannot have)"
            )
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


def _inflate(body: bytes, most: int) -> tuple[bytes, bool]:
    """Return at most so many inflated bytes, and whether those are all."""
    inflater = zlib.decompressobj()
    try:
        return inflater.decompress(body, most), inflater.eof
    except zlib.error as error:
        raise MatlabFileError(f"damaged ({error})") from error
