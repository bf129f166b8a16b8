"""Uncompressed TIFFs of any photometric interpretation and any depth, byte by byte.

Written here rather than with a library, so that what the reader sees is what the specification
says, not what a library makes of it.
"""

import struct
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ASCII, SHORT, LONG = 2, 3, 4


class Photometric(IntEnum):
    """Values of the tag PhotometricInterpretation (TIFF 6.0, section 8 and following)."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    CMYK = 5
    YCBCR = 6
    CIELAB = 8


Tags = Mapping[int, tuple[int, Sequence[int] | bytes]]
"""More tags: type and values of each."""

NO_DATA = 42113


def write_tiff(
    path: Path,
    pages: NDArray[np.generic] | Sequence[NDArray[np.generic]],
    photometric: Photometric = Photometric.BLACK_IS_ZERO,
    *,
    bits: int | None = None,
    planar: bool = False,
    big_endian: bool = False,
    tags: Tags | None = None,
    subfile: Sequence[int] = (),
) -> Path:
    """Write a TIFF.

    Args:
        path: output file.
        pages: one or more arrays of shape (height, width) or (height, width, samples).
        photometric: what the numbers mean.
        bits: bits per sample; by default those of the array's type.
        planar: store each sample's plane on its own.
        big_endian: byte order.
        tags: more tags, of every page.
        subfile: the tag NewSubfileType of each page (1: a reduced copy).
    """
    order = ">" if big_endian else "<"
    content = bytearray(b"MM\0*" if big_endian else b"II*\0")
    content += struct.pack(order + "I", 0)
    link = 4
    listed = [pages] if isinstance(pages, np.ndarray) else list(pages)
    for number, page in enumerate(listed):
        entries = _entries(page, photometric, bits, content, order, planar=planar)
        entries |= dict(tags or {})
        if number < len(subfile):
            entries[254] = (LONG, [subfile[number]])
        struct.pack_into(order + "I", content, link, len(content))
        link = _add_directory(content, entries, order)
    path.write_bytes(content)
    return path


def no_data_tag(value: float | str) -> Tags:
    """Return GDAL's tag that declares a value as 'no data'."""
    return {NO_DATA: (ASCII, f"{value}\0".encode())}


def colour_map(colours: NDArray[np.uint8], bits: int) -> Tags:
    """Return the tag of a palette, from colours of shape (n, 3)."""
    table = np.zeros((2**bits, 3), np.uint16)
    shown = colours[: 2**bits]
    table[: len(shown)] = shown.astype(np.uint16) * 257
    return {320: (SHORT, table.T.ravel().tolist())}


def _entries(
    page: NDArray[np.generic],
    photometric: Photometric,
    bits: int | None,
    content: bytearray,
    order: str,
    *,
    planar: bool,
) -> dict[int, tuple[int, Sequence[int] | bytes]]:
    """Append a page's samples; return the tags that describe them."""
    samples = page[:, :, None] if page.ndim == 2 else page
    height, width, count = samples.shape
    depth = bits or 8 * samples.dtype.itemsize
    strips = [samples[:, :, n : n + 1] for n in range(count)] if planar else [samples]
    offsets, sizes = [], []
    for strip in strips:
        packed = _packed(strip, depth, order)
        content += b"\0" * (len(content) % 2)
        offsets.append(len(content))
        sizes.append(len(packed))
        content += packed
    content += b"\0" * (len(content) % 2)
    extra = count - {Photometric.RGB: 3, Photometric.YCBCR: 3, Photometric.CIELAB: 3}.get(
        photometric, 4 if photometric == Photometric.CMYK else 1
    )
    kind = {"u": 1, "b": 1, "i": 2, "f": 3}[samples.dtype.kind]
    entries: dict[int, tuple[int, Sequence[int] | bytes]] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [depth] * count),
        259: (SHORT, [1]),
        262: (SHORT, [int(photometric)]),
        273: (LONG, offsets),
        277: (SHORT, [count]),
        278: (LONG, [height]),
        279: (LONG, sizes),
        284: (SHORT, [2 if planar else 1]),
        339: (SHORT, [kind] * count),
    }
    if extra > 0:
        entries[338] = (SHORT, [2] if extra == 1 else [0] * extra)  # opacity, or anything
    if photometric == Photometric.YCBCR:
        entries[530] = (SHORT, [1, 1])
    return entries


def _packed(samples: NDArray[np.generic], bits: int, order: str) -> bytes:
    if bits in {8, 16, 32, 64}:
        swapped = order != ("<" if sys.byteorder == "little" else ">")
        return (samples.byteswap() if swapped else samples).tobytes()
    # Most significant bit first; each row begins at a byte (TIFF 6.0, FillOrder 1).
    rows = samples.reshape(len(samples), -1).astype(np.uint64)
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    each = (rows[:, :, None] >> shifts & np.uint64(1)).astype(np.uint8)
    return np.packbits(each.reshape(len(rows), -1), axis=1).tobytes()


def _add_directory(
    content: bytearray, entries: Mapping[int, tuple[int, Sequence[int] | bytes]], order: str
) -> int:
    """Append a directory and the values that do not fit into it; return where its link is."""
    letters = {SHORT: "H", LONG: "I", ASCII: "s", 7: "s"}
    start = len(content)
    content += struct.pack(order + "H", len(entries)) + bytes(12 * len(entries) + 4)
    for number, (tag, (kind, values)) in enumerate(sorted(entries.items())):
        if isinstance(values, bytes):
            data = values
        else:
            data = struct.pack(f"{order}{len(values)}{letters[kind]}", *values)
        at = start + 2 + 12 * number
        struct.pack_into(order + "HHI", content, at, tag, kind, len(values))
        if len(data) <= 4:
            content[at + 8 : at + 8 + len(data)] = data
        else:
            struct.pack_into(order + "I", content, at + 8, len(content))
            content += data + b"\0" * (len(data) % 2)
    return start + 2 + 12 * len(entries)
