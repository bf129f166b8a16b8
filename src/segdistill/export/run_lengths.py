"""Run-length encodings: COCO's and Label Studio's."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

BRUSH_LENGTH_BITS = np.array([3, 4, 8, 16])
"""Bits for the length of a run that Label Studio's encoder can choose among."""

BRUSH_VALUE_BITS = 8
BRUSH_CHANNELS = 4


class Counts(NamedTuple):
    """COCO's uncompressed run lengths of several regions.

    Attributes:
        values: numbers of pixels outside and inside in turn, column by column, of one region after
            the other; shape (n,).
        begins: where each region begins in them, and last their number; shape (regions + 1,).
    """

    values: Integers
    begins: Integers


def coco_counts(numbers: NDArray[np.integer], count: int) -> Counts:
    """Return COCO's run lengths of all regions of an image.

    Args:
        numbers: region of each pixel, from 1, none of them without a pixel; 0 for no region; shape
            (height, width).
        count: number of regions.

    Example:
        >>> counts = coco_counts(np.array([[1, 0], [1, 2]]), 2)
        >>> [each.tolist() for each in np.split(counts.values, counts.begins[1:-1])]
        [[0, 2, 2], [3, 1]]
    """
    # A run continues from the foot of one column to the head of the next.
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
    """Return COCO's compressed form of the run lengths of regions, one text each.

    As ``maskApi.c`` of the COCO API reads it: from a region's fourth on, each length is given as
    its difference from the last but one; then in groups of five bits, the lowest first, each a
    character from ``0`` on, with a sixth bit that says whether more follow.

    Example:
        >>> compressed_counts(Counts(np.array([4, 2, 3, 40]), np.array([0, 4])))
        ['423V1']
    """
    values = counts.values.copy()
    places = np.arange(len(values)) - np.repeat(counts.begins[:-1], np.diff(counts.begins))
    values[places > 2] -= counts.values[np.flatnonzero(places > 2) - 2]
    groups, used = [], []
    going_on = np.ones(len(values), bool)
    while going_on.any():
        low = values & 0b11111
        values >>= 5
        # The highest bit of the last group tells the sign.
        more = np.where(low & 0b10000, values != -1, values != 0)
        groups.append(low + np.where(more, 0b100000, 0) + ord("0"))
        used.append(going_on)
        going_on = going_on & more
    if not groups:
        return []
    characters = np.stack(groups, axis=1).astype(np.uint8)  # (values, groups)
    mask = np.stack(used, axis=1)
    text = bytes(characters[mask]).decode("ascii")
    ends = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])[counts.begins]
    return [text[begin:end] for begin, end in pairwise(ends.tolist())]


def runs_by_row(
    pixels: NDArray[np.bool_], top: int, left: int, width: int
) -> tuple[Integers, Integers]:
    """Return where runs of set pixels begin and end when an image is read row by row.

    A run may go on from the end of one row into the next.

    Args:
        pixels: part of the image that holds all set pixels, shape (h, w).
        top: its first row in the image.
        left: its first column in the image.
        width: of the image.

    Returns:
        Positions at which runs begin, and those just after their ends, both of shape (runs,).

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
    """Return Label Studio's run-length encoding of a region, as its brush has it.

    The image is four bytes a pixel, all 255 inside and 0 outside, row by row. A head of 32 bits for
    the number of bytes, 5 for the bits of a value and 4 for each of four run lengths (the last two
    kinds less one) is followed by the runs: a set bit, two bits for which of the four
    lengths is used, the length less one, and the value. It is the format of the rle-pack library of
    thi.ng.

    Args:
        pixels: part of the image that holds all set pixels, shape (h, w).
        top: its first row in the image.
        left: its first column in the image.
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
    return packed_bits(np.concatenate([head, codes]), np.concatenate([head_bits, bits]))


def packed_bits(codes: Integers, bits: Integers) -> bytes:
    """Return numbers one after the other, each in its own number of bits, the highest first.

    Args:
        codes: the numbers, not negative, shape (n,).
        bits: how many bits each takes, shape (n,).

    Returns:
        The bytes; the last is filled up with clear bits.

    Example:
        >>> packed_bits(np.array([1, 3]), np.array([1, 4])).hex()
        '98'
    """
    ends = np.cumsum(bits)
    stream = np.zeros(int(ends[-1]), np.uint8)
    for bit in range(int(bits.max())):
        holding = bits > bit
        stream[ends[holding] - 1 - bit] = (codes[holding] >> bit) & 1
    return np.packbits(stream).tobytes()


def _split_long(lengths: Integers, values: Integers) -> tuple[Integers, Integers]:
    """Split runs into such as the longest length can hold; empty ones vanish."""
    longest = 1 << int(BRUSH_LENGTH_BITS[-1])
    pieces = -(-lengths // longest)
    split = np.full(int(pieces.sum()), longest)
    held = pieces > 0
    lasts = np.cumsum(pieces)[held] - 1
    split[lasts] = lengths[held] - (pieces[held] - 1) * longest
    return split, np.repeat(values, pieces)


def _run_codes(lengths: Integers, values: Integers) -> tuple[Integers, Integers]:
    """Return the code of each run, and its number of bits."""
    chosen = np.searchsorted(1 << BRUSH_LENGTH_BITS, lengths)
    bits = BRUSH_LENGTH_BITS[chosen]
    head = 0b100 | chosen
    codes = (head << (bits + BRUSH_VALUE_BITS)) | ((lengths - 1) << BRUSH_VALUE_BITS) | values
    return codes, 3 + bits + BRUSH_VALUE_BITS
