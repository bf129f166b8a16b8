"""Run lengths as COCO and Label Studio write them, decoded without making the mask."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError

Integers = NDArray[np.int64]

FIRST, LAST = ord("0"), ord("o")
"""Characters of COCO's compressed run lengths: six bits each, from ``0`` on."""

LONGEST_CODE = 8
"""Characters of a compressed length; of these five bits each count."""

BRUSH_CHANNELS = 4
BRUSH_VALUE_BITS = 8
OPAQUE = 128


def coco_lengths(counts: str | Sequence[int]) -> Integers:
    """Return the lengths of alternating runs outside and inside, the first one outside.

    The compressed form is that of ``maskApi.c`` in the COCO API: groups of five bits, lowest first,
    with a sixth that marks continuation; from the fourth length on, differences from the one two
    before.

    Args:
        counts: compressed text, or the lengths themselves.

    Raises:
        UserError: the text is damaged.

    Example:
        >>> coco_lengths("423V1").tolist()
        [4, 2, 3, 40]
    """
    if not isinstance(counts, str):
        return np.array(counts, np.int64)
    codes = np.frombuffer(counts.encode("utf-8", "replace"), np.uint8).astype(np.int64) - FIRST
    last = np.flatnonzero(codes & 0b100000 == 0)  # of each length
    sizes = np.diff(last, prepend=-1)
    if (
        not len(codes)
        or codes.min() < 0
        or codes.max() > LAST - FIRST
        or not len(last)
        or last[-1] != len(codes) - 1
        or sizes.max() > LONGEST_CODE
    ):
        raise UserError("damaged run lengths; export the file again")
    starts = last - sizes + 1
    place = np.arange(len(codes)) - np.repeat(starts, sizes)
    lengths = np.add.reduceat((codes & 0b11111) << 5 * place, starts)
    lengths -= np.where(codes[last] & 0b10000, 1 << 5 * sizes, 0)  # negative differences
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    if lengths.min() < 0 or lengths.max() > 2**32:
        raise UserError("damaged run lengths; export the file again")
    return lengths


def brush_runs(content: bytes, pixels: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the lengths of runs of pixels in row-major order, and whether each lies inside.

    The format is that of thi.ng's rle-pack library: a header of 32 bits for the number of bytes, 5
    for the bits per value minus 1, and four times 4 for sizes of lengths minus 1. Then, repeatedly,
    a bit that says whether one value is repeated, two bits that choose a size, a length minus 1,
    and the value or values. The bytes are red, green, blue and opacity of each pixel.

    Args:
        content: the encoded bytes.
        pixels: number of pixels of the image.

    Raises:
        UserError: the content is damaged, or of another size.
    """
    bits = f"{int.from_bytes(content, 'big'):0{8 * len(content)}b}"
    ends, values = [], []
    try:
        total, width, *sizes = (
            int(bits[start:end], 2)
            for start, end in ((0, 32), (32, 37), *((at, at + 4) for at in range(37, 53, 4)))
        )
        at, done = 53, 0
        if total != pixels * BRUSH_CHANNELS or width != BRUSH_VALUE_BITS - 1:
            raise UserError("a brush mask of another size than its image; export the file again")
        while done < total:
            size = sizes[int(bits[at + 1 : at + 3], 2)] + 1
            count = int(bits[at + 3 : at + 3 + size], 2) + 1
            repeated, at = bits[at] == "1", at + 3 + size
            for step in [count] if repeated else [1] * count:
                done += step
                ends.append(done)
                values.append(int(bits[at : at + BRUSH_VALUE_BITS], 2))
                at += BRUSH_VALUE_BITS
    except (ValueError, IndexError) as error:
        raise UserError("a truncated brush mask; export the file again") from error
    if done != total or at > len(bits):
        raise UserError("a damaged brush mask; export the file again")
    # Pixels whose opacity, the last of four bytes, lies in each run.
    lengths = np.diff(np.array(ends, np.int64) // BRUSH_CHANNELS, prepend=0)
    return lengths, np.array(values) >= OPAQUE
