"""One scene in every form in which people keep images of more than plain 8-bit RGB."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tests.helpers import striped_image

Pixels = NDArray[np.uint8]

HEIGHT, WIDTH = 96, 128


def scene(seed: int = 0) -> Pixels:
    """Return the scene of the corpus, 8-bit RGB, from black to white as photographs are."""
    image = striped_image(seed, HEIGHT, WIDTH).astype(np.float64)
    low, high = np.percentile(image, (1, 99))
    stretched: Pixels = ((image - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    return stretched


def grey_of(image: Pixels) -> Pixels:
    """Return an image as grey, shape (height, width)."""
    return np.array(Image.fromarray(image).convert("L"))


def png(
    bits: int, colour_type: int, rows: list[bytes], width: int, *more: tuple[bytes, bytes]
) -> bytes:
    """Return a PNG with any bit depth and more chunks; Pillow writes only some."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    start = b"\x89PNG\r\n\x1a\n"
    between = b"".join(chunk(*each) for each in more)
    return start + chunk(b"IHDR", header) + between + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def write_png_16(path: Path, values: NDArray[np.uint16], transparent: Sequence[int] = ()) -> Path:
    """Write a 16-bit PNG: grey (h, w), grey and alpha, RGB or RGBA (h, w, bands).

    Args:
        path: output file.
        values: the numbers.
        transparent: number or colour of transparent pixels.
    """
    bands = values if values.ndim == 3 else values[:, :, None]
    height, width, count = bands.shape
    rows = bands.astype(">u2").reshape(height, -1).view(np.uint8)
    # Filter 1: each byte less the same byte of the pixel before, as real encoders choose.
    step = 2 * count
    before = np.zeros_like(rows)
    before[:, step:] = rows[:, :-step]
    filtered = np.concatenate([np.ones((height, 1), np.uint8), rows - before], axis=1)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in (
        (b"IHDR", header),
        *([(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))] if transparent else []),
        (b"IDAT", zlib.compress(filtered.tobytes())),
        (b"IEND", b""),
    ):
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)
    return path


def swapped_profile() -> bytes:
    """Return an ICC profile whose red is the green of sRGB, and the other way round."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = {
        bytes(profile[at : at + 4]): struct.unpack_from(">II", profile, at + 4)
        for at in range(132, 132 + 12 * count, 12)
    }
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    parts = [bytes(profile[at : at + size]) for at, size in (red, green)]
    for (at, size), part in zip((green, red), parts, strict=True):
        profile[at : at + size] = part
    return bytes(profile)


def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of one channel (ICC.1:2001), white as on a print."""
    white = struct.pack(">iii", *(round(65536 * each) for each in (0.9642, 1.0, 0.8249)))
    tags = {
        b"desc": b"desc" + struct.pack(">III", 0, 5, 0x67726579) + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": b"curv" + struct.pack(">IIHH", 0, 1, round(gamma * 256), 0),
        b"cprt": b"text" + bytes(8),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    kind = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    header = kind + date + b"acsp" + bytes(28) + white
    return header.ljust(128, b"\0") + table + body


def letterboxed(image: Pixels, bar: int = 16, colour: int = 0) -> Pixels:
    """Return an image with its upper and lower rows replaced by bars."""
    changed = image.copy()
    changed[:bar] = changed[-bar:] = colour
    return changed


def fisheye(image: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """Return an image that is black outside a circle, and where it is not."""
    height, width = image.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    radius = max(height, width) / 2
    inside = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2 <= radius**2
    return np.where(inside[:, :, None], image, np.uint8(0)), inside


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def impossible_tiff(path: Path, side: int = 2**31 - 1) -> Path:
    """Write a TIFF of 122 bytes that claims 4.6e18 pixels."""
    entries: Sequence[tuple[int, int, int, int]] = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, side),
        (279, 4, 1, 1),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    count = struct.pack("<H", len(entries))
    path.write_bytes(b"II*\0\x08\0\0\0" + count + directory + b"\0\0\0\0")
    return path
