"""Reading portable float maps (PFM)."""

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.files import read_file

LONGEST_HEADER = 4096

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # white space and comments
_HEADER = re.compile(
    rb"(P[Ff])"
    + _GAP
    + rb"(\d{1,9})"
    + _GAP
    + rb"(\d{1,9})"
    + _GAP
    + rb"([-+]?[\d.]+(?:e[-+]?\d+)?)",
    re.IGNORECASE,
)


def read_float_map(path: Path) -> NDArray[np.float32]:
    r"""Read a PFM file: text that says how large it is, then 32-bit floats from the last row up.

    Lines of the header may have any ending. By the format, one byte of white space follows the
    scale; where there is room for two, ``\r\n`` is a line ending, too. The sign of the scale gives
    the byte order, and its size is not applied.

    Returns:
        Shape (height, width), or (height, width, 3) of colours.

    Raises:
        ValueError: the file is not a PFM, or its size does not fit its header.
        OSError: the file cannot be read.
    """
    content = read_file(path)
    header = _HEADER.match(content, 0, LONGEST_HEADER)
    if header is None or header[1] not in {b"PF", b"Pf"}:
        raise ValueError("not a PFM: it must start with Pf, the width, the height and the scale")
    scale = float(header[4])
    if scale == 0 or not np.isfinite(scale):
        raise ValueError(f"the scale is {scale:g}, so that the byte order is not known")
    width, height = int(header[2]), int(header[3])
    colour = header[1] == b"PF"
    shape = (height, width, 3) if colour else (height, width)
    needed = 4 * math.prod(shape)
    start = len(content) - needed
    between = content[header.end() : max(start, header.end())]
    if start <= header.end() or not (
        between == b"\r\n" or (len(between) == 1 and between.isspace())
    ):
        raise ValueError(
            f"{width} x {height} pixels take {needed} bytes after the header,"
            f" but the file has {max(len(content) - header.end() - 1, 0)}"
        )
    values = np.frombuffer(content, "<f4" if scale < 0 else ">f4", offset=start).reshape(shape)
    return np.flipud(values).astype(np.float32)
