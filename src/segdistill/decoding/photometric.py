"""Photometric interpretations of TIFFs: what a viewer makes of their numbers (TIFF 6.0)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.colour_profiles import lab_to_srgb
from segdistill.decoding.tiff_header import (
    CIELAB,
    CMYK,
    PALETTE,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    TiffHeader,
)

Colours = Callable[[NDArray[Any]], NDArray[np.uint8]]
"""Maps values (bands, rows, columns) to 8-bit RGB (rows, columns, 3)."""

Palette = Mapping[int, tuple[int, ...]]

SPACES = {CMYK: ("CMYK", 4), YCBCR: ("YCbCr", 3), CIELAB: ("LAB", 3)}
"""Pillow's mode and the number of bands of colour spaces other than RGB."""


def unchanged(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as they are stored."""
    return values


@dataclass(frozen=True)
class Interpretation:
    """How the stored numbers of a TIFF are understood.

    Attributes:
        numbers: maps stored numbers (bands, rows, columns) to those where more is lighter.
        colours: maps numbers to 8-bit RGB; ``None`` for grey, red, green and blue.
        bands: numbers of the bands that make up the colours; empty for any.
        is_8_bit: whether the result of ``numbers``, or the colours, are 8-bit.
    """

    numbers: Callable[[NDArray[Any]], NDArray[Any]] = unchanged
    colours: Colours | None = None
    bands: tuple[int, ...] = ()
    is_8_bit: bool = False


def interpretation_of(header: TiffHeader, palette: Palette | None) -> Interpretation:
    """Return how the numbers of a TIFF are understood.

    Args:
        header: of the file.
        palette: red, green and blue of each number, if the file is shown by a palette.
    """
    if header.photometric in SPACES:
        mode, count = SPACES[header.photometric]
        bands = tuple(range(1, count + 1))
        return Interpretation(
            colours=partial(_from_space, mode=mode, bits=header.bits), bands=bands, is_8_bit=True
        )
    if header.photometric == PALETTE or (palette and header.photometric != WHITE_IS_ZERO):
        table = _palette_table(palette or {})
        return Interpretation(colours=partial(_by_palette, table=table), bands=(1,), is_8_bit=True)
    inverted = header.photometric == WHITE_IS_ZERO
    unsigned = header.sample_format == UNSIGNED
    largest = 2**header.bits - 1 if unsigned else 0
    if header.bits < 8 and unsigned:
        return Interpretation(
            partial(_stretched, largest=largest, inverted=inverted), is_8_bit=True
        )
    return Interpretation(partial(_inverted, largest=largest)) if inverted else Interpretation()


def _inverted(values: NDArray[Any], *, largest: int) -> NDArray[Any]:
    if largest:
        return np.asarray(np.subtract(largest, values, dtype=values.dtype))
    # The negative of the lowest signed number does not fit into its type.
    wide = values if values.dtype.kind == "f" else values.astype(np.int64)
    return np.asarray(np.negative(wide))


def _stretched(values: NDArray[Any], *, largest: int, inverted: bool) -> NDArray[np.uint8]:
    lightness = largest - values.astype(np.uint16) if inverted else values.astype(np.uint16)
    return np.round(lightness * (255 / largest)).astype(np.uint8)


def _palette_table(palette: Palette) -> NDArray[np.uint8]:
    table = np.zeros((max(256, max(palette, default=0) + 1), 3), np.uint8)
    for value, colour in palette.items():
        table[value] = colour[:3]
    return table


def _by_palette(values: NDArray[Any], *, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    coloured: NDArray[np.uint8] = table[np.minimum(values[0], len(table) - 1)]
    return coloured


def _from_space(values: NDArray[Any], *, mode: str, bits: int) -> NDArray[np.uint8]:
    """Convert numbers of a colour space to 8-bit RGB; their upper 8 bits suffice for viewing."""
    numbers = values.astype(np.uint32)
    upper = (numbers >> (bits - 8) if bits >= 8 else numbers << (8 - bits)).astype(np.uint8)
    # Written as bytes: Pillow makes no images of these modes from arrays.
    size = (values.shape[2], values.shape[1])
    image = Image.frombytes(mode, size, np.ascontiguousarray(np.moveaxis(upper, 0, 2)).tobytes())
    shown = lab_to_srgb(image) if mode == "LAB" else image.convert("RGB")
    return np.asarray(shown)
