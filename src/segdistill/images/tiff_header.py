"""Reading the header of a TIFF without decoding pixels and without GDAL."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TIFF_SUFFIXES = frozenset([".tif", ".tiff"])

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a TIFF: little or big endian, classic or BigTIFF (files above 4 GB)."""

WORLD_FILES = (".tfw", ".tifw", ".wld")
"""Suffixes of world files, which give the georeference of the TIFF next to them."""

WIDTH, HEIGHT = 256, 257
GEOGRAPHIC_TAGS = frozenset([33550, 33922, 34264, 34735])
"""Pixel size, tie points (including GCPs), transformation, coordinate reference system."""

# Bytes per value and struct format letter, by TIFF type number.
_TYPES = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 16: (8, "Q")}


@dataclass(frozen=True)
class TiffHeader:
    """Contents of the first directory of a TIFF.

    Attributes:
        height: in pixels.
        width: in pixels.
        georeferenced: whether the file, or a world file next to it, holds a georeference.
    """

    height: int
    width: int
    georeferenced: bool


def read_tiff_header(path: Path) -> TiffHeader | None:
    """Read the header of a TIFF; return ``None`` for other or damaged files.

    Args:
        path: path of any file.
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
    """Return the first directory's tags with their first values; 0 for values stored elsewhere."""
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
