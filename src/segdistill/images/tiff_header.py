"""What the header of a TIFF says, read without decoding anything and without GDAL."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TIFF_SUFFIXES = frozenset([".tif", ".tiff"])

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""With which TIFFs begin: little or big endian, plain or, beyond 4 GB, BigTIFF."""

WORLD_FILES = (".tfw", ".tifw", ".wld")
"""Endings of files beside a TIFF that say where it lies."""

WIDTH, HEIGHT = 256, 257
GEOGRAPHIC_TAGS = frozenset([33550, 33922, 34264, 34735])
"""Size of a pixel, tie points (GCPs among them), transformation, coordinate reference system."""

# Bytes of a value, and the letters of struct, by the TIFF's number of the type.
_TYPES = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 16: (8, "Q")}


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a TIFF says.

    Attributes:
        height: in pixels.
        width: in pixels.
        georeferenced: whether it, or a file beside it, says where on the Earth it lies.
    """

    height: int
    width: int
    georeferenced: bool


def read_tiff_header(path: Path) -> TiffHeader | None:
    """Read the header of a TIFF; ``None`` for what is no TIFF, or damaged.

    Args:
        path: of any file.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return None
    try:
        with path.open("rb") as file:
            tags = _first_directory(file)
    except (OSError, struct.error, OverflowError):
        return None
    if not tags or min(tags.get(WIDTH, 0), tags.get(HEIGHT, 0)) < 1:
        return None
    beside = any(path.with_suffix(suffix).exists() for suffix in WORLD_FILES)
    return TiffHeader(tags[HEIGHT], tags[WIDTH], beside or bool(GEOGRAPHIC_TAGS & tags.keys()))


def _first_directory(file: BinaryIO) -> dict[int, int]:
    """Return the tags of the first directory, each with its first value, 0 where it lies apart."""
    start = file.read(4)
    if start not in TIFF_STARTS:
        return {}
    order = "<" if start.startswith(b"II") else ">"
    # BigTIFF has wider offsets, counts and entries.
    big = b"+" in start
    count_type, offset_type, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    if big:
        file.read(4)  # the width of its offsets, which is always 8
    (offset,) = _unpacked(file, order + offset_type)
    file.seek(offset)
    (count,) = _unpacked(file, order + count_type)
    content = file.read(entry * min(count, 4096))
    tags = {}
    for number in range(len(content) // entry):
        line = content[number * entry : (number + 1) * entry]
        tag, kind = struct.unpack(f"{order}HH", line[:4])
        size, letter = _TYPES.get(kind, (0, ""))
        values = line[-struct.calcsize(offset_type) :]
        tags[tag] = struct.unpack(order + letter, values[:size])[0] if letter else 0
    return tags


def _unpacked(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
