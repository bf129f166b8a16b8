"""Reading the header of a TIFF without decoding pixels.

Pillow's directory reader would do, but it issues a Python warning for most damaged files and reads
the offsets of all tiles: 12 ms instead of 0.2 ms for a million tiles, each time a file is read.
"""

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

MOST_TAGS = 4096
# struct format of a value, by TIFF type number; other values are not needed.
_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class TiffHeader:
    """Size of a TIFF in pixels, and whether it (or a world file next to it) has a georeference."""

    height: int
    width: int
    georeferenced: bool


def read_tiff_header(path: Path) -> TiffHeader | None:
    """Read the header of a TIFF; return ``None`` for other or damaged files."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return None
    try:
        with path.open("rb") as file:
            tags = _first_directory(file)
    except (OSError, ValueError, struct.error, OverflowError):
        return None
    if min(tags.get(WIDTH, 0), tags.get(HEIGHT, 0)) < 1:
        return None
    beside = any(path.with_suffix(suffix).exists() for suffix in WORLD_FILES)
    return TiffHeader(tags[HEIGHT], tags[WIDTH], beside or bool(GEOGRAPHIC_TAGS & tags.keys()))


def read_tiff_tag(path: Path, tag: int) -> int:
    """Return the first value of a tag of whole numbers; 0 if it is absent or the file damaged."""
    try:
        with path.open("rb") as file:
            return _first_directory(file).get(tag, 0)
    except (OSError, ValueError, struct.error, OverflowError):
        return 0


def _first_directory(file: BinaryIO) -> dict[int, int]:
    """Return the first directory's tags with their first values; 0 for other types of values."""
    start = file.read(4)
    if start not in TIFF_STARTS:
        return {}
    order = "<" if start.startswith(b"II") else ">"
    # BigTIFF has wider counts, offsets and entries; its header states the width of offsets, 8.
    big = b"+" in start
    count, offset, header = ("Q", "Q", "IQ") if big else ("H", "I", "I")
    file.seek(_unpacked(file, order + header)[-1])
    (entries,) = _unpacked(file, order + count)
    entry = struct.Struct(f"{order}HH{offset}{struct.calcsize(order + offset)}s")
    content = file.read(entry.size * min(entries, MOST_TAGS))
    tags = {}
    for tag, kind, _, value in entry.iter_unpack(
        content[: len(content) // entry.size * entry.size]
    ):
        letter = _FORMATS.get(kind)
        tags[tag] = struct.unpack_from(order + letter, value)[0] if letter else 0
    return tags


def _unpacked(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
