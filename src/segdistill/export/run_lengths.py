"""Run-length encodings of COCO and Label Studio."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

BRUSH_LENGTH_BITS = np.array([3, 4, 8, 16])
"""Numbers of bits available for a run length in Label Studio's encoding."""

BRUSH_VALUE_BITS = 8
BRUSH_CHANNELS = 4


class Counts(NamedTuple):
    """Uncompressed COCO run lengths of several regions.

    Attributes:
        values: alternating run lengths of background and foreground in column-major order,
            concatenated over regions; shape (n,).
        starts: start of each region in ``values``, then n; shape (regions + 1,).
    """

    values: Integers
    starts: Integers


def coco_counts(numbers: NDArray[np.integer], count: int) -> Counts:
    """Return the COCO run lengths of all regions of an image.

    Args:
        numbers: region number of each pixel, from 1 without gaps; 0 for none; shape (height,
            width).
        count: number of regions.

    Example:
        >>> counts = coco_counts(np.array([[1, 0], [1, 2]]), 2)
        >>> [each.tolist() for each in np.split(counts.values, counts.starts[1:-1])]
        [[0, 2, 2], [3, 1]]
    """
    # Runs continue from the bottom of one column to the top of the next.
    columns = numbers.T.ravel()
    changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    first = np.concatenate([[0], changes])
    after = np.append(changes, columns.size)
    region = columns[first]
    order = np.argsort(region, kind="stable")[np.count_nonzero(region == 0) :]
    first, after = first[order], after[order]
    runs = np.bincount(region[order], minlength=count + 1)[1:]
    ends = np.cumsum(runs)
    before = np.concatenate([[0], after])[:-1]
    before[ends[:-1]] = 0
    pairs = np.stack([first - before, after - first], axis=1)  # (runs, 2)
    rest = columns.size - after[ends - 1]
    held = rest > 0
    values = np.insert(pairs.ravel(), 2 * ends[held], rest[held])
    return Counts(values, np.concatenate([[0], 2 * ends + np.cumsum(held)]))


def compressed_counts(counts: Counts) -> list[str]:
    """Return the compressed COCO run lengths, one string per region.

    The format is that of ``maskApi.c`` in the COCO API. From the fourth run of a region on, each
    length is stored as the difference from the one two before it. Values are split into groups of
    five bits, lowest first; a sixth bit marks continuation, and each group is a character offset
    from ``0``.

    Example:
        >>> compressed_counts(Counts(np.array([4, 2, 3, 40]), np.array([0, 4])))
        ['423V1']
    """
    values = counts.values.copy()
    positions = np.arange(len(values)) - np.repeat(counts.starts[:-1], np.diff(counts.starts))
    values[positions > 2] -= counts.values[np.flatnonzero(positions > 2) - 2]
    groups, used = [], []
    continues = np.ones(len(values), bool)
    while continues.any():
        low = values & 0b11111
        values >>= 5
        # The highest bit of the last group is the sign.
        more = np.where(low & 0b10000, values != -1, values != 0)
        groups.append(low + np.where(more, 0b100000, 0) + ord("0"))
        used.append(continues)
        continues = continues & more
    if not groups:
        return []
    characters = np.stack(groups, axis=1).astype(np.uint8)  # (values, groups)
    mask = np.stack(used, axis=1)
    text = bytes(characters[mask]).decode("ascii")
    ends = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])[counts.starts]
    return [text[start:end] for start, end in pairwise(ends.tolist())]


def runs_by_row(
    pixels: NDArray[np.bool_], top: int, left: int, width: int
) -> tuple[Integers, Integers]:
    """Return the start and end of each run of set pixels in row-major order.

    Runs may continue from the end of one row into the next.

    Args:
        pixels: part of the image that contains all set pixels, shape (h, w).
        top: first row of this part in the image.
        left: first column of this part in the image.
        width: width of the image.

    Returns:
        Start positions and exclusive end positions, both of shape (runs,).

    Example:
        >>> first, after = runs_by_row(np.array([[False, True], [True, True]]), 0, 0, 2)
        >>> first.tolist(), after.tolist()
        ([1], [4])
    """
    framed = np.zeros((pixels.shape[0], pixels.shape[1] + 2), np.int8)
    framed[:, 1:-1] = pixels
    steps = np.diff(framed, axis=1)  # (h, w + 2) -> (h, w + 1)
    rows, columns = np.nonzero(steps == 1)
    first = (rows + top) * width + columns + left
    rows, columns = np.nonzero(steps == -1)
    after = (rows + top) * width + columns + left
    apart = first[1:] != after[:-1]
    return first[np.r_[True, apart][: len(first)]], after[np.r_[apart, True][: len(after)]]


def brush_bytes(pixels: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> bytes:
    """Return the run-length encoding of a region for Label Studio's brush.

    This is the format of thi.ng's rle-pack library. The image has four bytes per pixel, 255 inside
    and 0 outside, in row-major order. The header has 32 bits for the number of bytes, 5 bits for
    the bits per value minus 1, and 4 bits for each of four run length sizes minus 1. Each run is a
    set bit, two bits that select the size, the length minus 1, and the value.

    Args:
        pixels: part of the image that contains all set pixels, shape (h, w).
        top: first row of this part in the image.
        left: first column of this part in the image.
        size: height and width of the image.

    Example:
        >>> len(brush_bytes(np.ones((2, 2), bool), 0, 0, (2, 2)))
        9
    """
    height, width = size
    total = height * width
    first, after = runs_by_row(pixels, top, left, width)
    edges = np.stack([first, after], axis=1).ravel()  # (runs, 2) -> (2 runs,)
    lengths = np.diff(edges, prepend=0, append=total) * BRUSH_CHANNELS
    values = np.where(np.arange(len(lengths)) % 2, 255, 0)
    codes, bits = _run_codes(*_split_long(lengths, values))
    head = np.array([total * BRUSH_CHANNELS, BRUSH_VALUE_BITS - 1, *(BRUSH_LENGTH_BITS - 1)])
    head_bits = np.array([32, 5, 4, 4, 4, 4])
    return pack_bits(np.concatenate([head, codes]), np.concatenate([head_bits, bits]))


def pack_bits(codes: Integers, bits: Integers) -> bytes:
    """Pack numbers of variable bit width, most significant bit first.

    Args:
        codes: non-negative numbers, shape (n,).
        bits: bit width of each number, shape (n,).

    Returns:
        The packed bytes, padded with zero bits.

    Example:
        >>> pack_bits(np.array([1, 3]), np.array([1, 4])).hex()
        '98'
    """
    ends = np.cumsum(bits)
    stream = np.zeros(int(ends[-1]), np.uint8)
    for bit in range(int(bits.max())):
        holding = bits > bit
        stream[ends[holding] - 1 - bit] = (codes[holding] >> bit) & 1
    return np.packbits(stream).tobytes()


def _split_long(lengths: Integers, values: Integers) -> tuple[Integers, Integers]:
    """Split runs that exceed the maximum length, and drop empty ones."""
    longest = 1 << int(BRUSH_LENGTH_BITS[-1])
    pieces = -(-lengths // longest)
    split = np.full(int(pieces.sum()), longest)
    held = pieces > 0
    lasts = np.cumsum(pieces)[held] - 1
    split[lasts] = lengths[held] - (pieces[held] - 1) * longest
    return split, np.repeat(values, pieces)


def _run_codes(lengths: Integers, values: Integers) -> tuple[Integers, Integers]:
    """Return the code and the bit width of each run."""
    chosen = np.searchsorted(1 << BRUSH_LENGTH_BITS, lengths)
    bits = BRUSH_LENGTH_BITS[chosen]
    head = 0b100 | chosen
    codes = (head << (bits + BRUSH_VALUE_BITS)) | ((lengths - 1) << BRUSH_VALUE_BITS) | values
    return codes, 3 + bits + BRUSH_VALUE_BITS
