"""Labels that were compressed with loss (JPEG): values snapped to those that were meant.

JPEG changes values near the edges of regions, so that a pixel between classes 1 and 3 may say 2.
But a block of 8 x 8 pixels within one region keeps one value, which tells what values were meant.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segdistill.errors import UserError
from segdistill.labels.label_pixels import NO_VALUE, Values, unpacked

BLOCK = 8
LEAST_FLAT = 0.25
"""Share of flat blocks below which a file does not look like labels."""

LEAST_SHARE = 0.0005
"""Share of the flat blocks from which a value counts as meant."""

LEAST_GAP = 8
"""Compression changes values by up to this much, so that nearer ones cannot be told apart."""

FAR = 24
MOST_FAR = {False: 0.02, True: 0.1}
"""Maximum share of pixels farther than FAR from all meant values, for numbers and for colours.

JPEG stores colours at half the resolution, so they blend over more pixels.
"""

CURE = "save labels as PNG, which keeps every value"
_CHUNK = 2**12


@dataclass(frozen=True)
class FlatBlocks:
    """Blocks of one value: how many there are of each value, and of blocks in all."""

    counts: Mapping[int, int]
    blocks: int

    @classmethod
    def of(cls, values: Values) -> "FlatBlocks":
        """Count the blocks of a file, shape (height, width)."""
        rows, columns = (side // BLOCK for side in values.shape)
        cut = values[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
        flat = (cut == cut[:, :1, :, :1]).all(axis=(1, 3))
        firsts = cut[:, 0, :, 0][flat]
        found, counts = np.unique(firsts[firsts != NO_VALUE], return_counts=True)
        return cls(dict(zip(found.tolist(), counts.tolist(), strict=True)), rows * columns)

    def __add__(self, other: "FlatBlocks") -> "FlatBlocks":
        """Return the counts of both."""
        counts = Counter(self.counts)
        counts.update(other.counts)
        return FlatBlocks(counts, self.blocks + other.blocks)

    def meant(self, *, coloured: bool) -> Values:
        """Return the values that were meant, increasing.

        Args:
            coloured: whether values are colours as 0xRRGGBB.

        Raises:
            UserError: values do not cluster; the message says why, and the caller adds the file.
        """
        flat = sum(self.counts.values())
        if flat < LEAST_FLAT * self.blocks or not flat:
            raise UserError(
                "lossily compressed, and too few areas have a single value to tell which values"
                " were"
                f" meant; {CURE}"
            )
        by_count = sorted(self.counts, key=lambda value: (-self.counts[value], value))
        frequent = [value for value in by_count if self.counts[value] >= LEAST_SHARE * flat]
        if coloured:
            frequent = _without_echoes(frequent, self.counts)
        meant = np.sort(np.array(frequent, np.int64))
        _check_gaps(meant, coloured=coloured)
        return meant


def snapped(values: Values, meant: Values, *, coloured: bool) -> Values:
    """Return each value's nearest of those that were meant; pixels without a value stay so.

    Raises:
        UserError: too many are far from all of them; the caller adds the file.

    Example:
        >>> snapped(np.array([[0, 3], [78, 80]]), np.array([0, 40, 80]), coloured=False).tolist()
        [[0, 0], [80, 80]]
    """
    known = values != NO_VALUE
    found, which = np.unique(values[known], return_inverse=True)
    if not len(found):
        return values
    nearest, distance = _nearest(found, meant, coloured=coloured)
    far = float((distance[which] > FAR).mean())
    if far > MOST_FAR[coloured]:
        raise UserError(
            f"lossily compressed, and {far:.1%} of its pixels are not near any intended value"
            f" ({shown(meant, coloured=coloured)}); {CURE}"
        )
    result = values.copy()
    result[known] = meant[nearest][which]
    return result


def shown(values: Values, *, coloured: bool, most: int = 12) -> str:
    """Return numbers or colours in words, at most so many.

    Example:
        >>> (
        ...     shown(np.array([0, 0xFF0000]), coloured=True),
        ...     shown(np.arange(9), coloured=False, most=2),
        ... )
        ('#000000, #ff0000', '0, 1, ...')
    """
    texts = [f"#{value:06x}" if coloured else str(value) for value in values[:most].tolist()]
    return ", ".join([*texts, *(["..."] if len(values) > most else [])])


def _nearest(values: Values, meant: Values, *, coloured: bool) -> tuple[Values, Values]:
    """Return the index of the nearest meant value, and the difference in the worst channel."""
    one = unpacked(values) if coloured else values[:, None]
    other = unpacked(meant) if coloured else meant[:, None]
    parts = []
    for start in range(0, len(one), _CHUNK):
        apart = np.abs(one[start : start + _CHUNK, None] - other)  # (values, meant, channels)
        index = (apart**2).sum(axis=2).argmin(axis=1)
        parts.append((index, apart.max(axis=2)[np.arange(len(index)), index]))
    nearest, distance = (np.concatenate(each) for each in zip(*parts, strict=True))
    return nearest, distance


def _without_echoes(frequent: list[int], counts: Mapping[int, int]) -> list[int]:
    """Leave out colours that are a rare and slightly changed form of another."""
    kept: list[int] = []
    for value in frequent:
        near = [
            other
            for other in kept
            if np.abs(unpacked(np.array(value)) - unpacked(np.array(other))).max() < LEAST_GAP
        ]
        if not any(counts[value] < 0.02 * counts[other] for other in near):
            kept.append(value)
    return kept


def _check_gaps(meant: Values, *, coloured: bool) -> None:
    channels = unpacked(meant) if coloured else meant[:, None]
    for index, value in enumerate(channels):
        near = np.abs(channels[index + 1 :] - value).max(axis=1, initial=0)
        if len(near) and near.min() < LEAST_GAP:
            pair = meant[[index, index + 1 + int(near.argmin())]]
            raise UserError(
                f"lossily compressed, and values as close as {shown(pair, coloured=coloured)}"
                f" cannot be told apart; {CURE}"
            )
