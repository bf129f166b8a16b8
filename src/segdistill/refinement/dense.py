"""Codes of images of any size: overlapping tiles, blended on the code grid.

The border of a tile has less context than its centre, so neighbouring tiles disagree there. Each
tile is therefore weighted most at its centre and fades towards its edges. Blending happens on the
code grid, before upsampling, which leaves no visible seams and bounds memory by one tile and the
grid.
"""

from collections.abc import Callable, Iterator
from itertools import groupby

import torch
import torch.nn.functional as F

Encode = Callable[[torch.Tensor], torch.Tensor]
"""Maps images (batch, 3, height, width) in 0..1 to codes (batch, channels, h, w)."""

ReadPart = Callable[[slice, slice], torch.Tensor]
"""Maps rows and columns to that part of 8-bit images, shape (batch, 3, rows, columns)."""


def encode_images(
    images: torch.Tensor,
    encode: Encode,
    *,
    stride: int,
    multiple: int,
    tile: int,
    mirror: bool = False,
) -> torch.Tensor:
    """Encode images of the same size, in tiles if either side is longer than a tile.

    Args:
        images: 8-bit images of shape (batch, 3, height, width), with sides that are multiples of
            ``multiple``, on the device of the network.
        stride: pixels per location of the code grid.
        multiple: divisor of all tile sides and positions, itself a multiple of ``stride``.
        tile: maximum side length of a tile, in pixels.
        mirror: whether to average with the codes of the horizontally flipped images.

    Returns:
        Codes of shape (batch, channels, height / stride, width / stride), float32.
    """
    strips = encoded_strips(
        lambda rows, columns: images[..., rows, columns],
        encode,
        (images.shape[2], images.shape[3]),
        stride=stride,
        multiple=multiple,
        tile=tile,
        mirror=mirror,
    )
    codes = [codes for _, codes in strips]
    return codes[0] if len(codes) == 1 else torch.cat(codes, dim=2)


def encoded_strips(
    read: ReadPart,
    encode: Encode,
    size: tuple[int, int],
    *,
    stride: int,
    multiple: int,
    tile: int,
    mirror: bool = False,
    at_once: int = 1,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Encode images strip by strip, with only a few tiles in memory.

    Works like :func:`encode_images`. ``read`` returns a part of the images, whose height and width
    are ``size``; ``at_once`` tiles go through the network together.

    Yields:
        Rows of the grid, from top to bottom, and their codes, of shape (batch, channels, rows,
        width / stride), float32.
    """

    def encode_part(part: torch.Tensor) -> torch.Tensor:
        pixels = part.float() / 255
        codes = encode(pixels)
        if mirror:
            codes = (codes + encode(pixels.flip(dims=(3,))).flip(dims=(3,))) / 2
        return codes.float()

    height, width = size
    if height <= tile and width <= tile:
        whole = read(slice(0, height), slice(0, width))
        yield slice(0, height // stride), encode_part(whole)
        return
    sums, top = torch.empty(0), 0  # weighted codes; the last channel sums the weights
    tiles = tiles_of(height, width, tile=tile, multiple=multiple)
    for _, group in groupby(tiles, key=lambda each: each[0].start):
        tile_row = list(group)
        rows = tile_row[0][0]
        start, stop = rows.start // stride, rows.stop // stride
        if start:
            yield slice(top, start), _average(sums[:, :, : start - top])
            kept = sums[:, :, start - top :]
            sums, top = F.pad(kept, (0, 0, 0, stop - start - kept.shape[2])), start
        for first in range(0, len(tile_row), at_once):
            some = [columns for _, columns in tile_row[first : first + at_once]]
            parts = torch.cat([read(rows, columns) for columns in some])
            for columns, codes in zip(some, encode_part(parts).chunk(len(some)), strict=True):
                if not len(sums):
                    shape = (len(codes), codes.shape[1] + 1, stop, width // stride)
                    sums = codes.new_zeros(shape)
                window = blending_window(codes.shape[2], codes.shape[3]).to(codes.device)
                part = sums[..., columns.start // stride : columns.stop // stride]
                part[:, :-1] += codes * window
                part[:, -1] += window
    yield slice(top, height // stride), _average(sums)


def _average(sums: torch.Tensor) -> torch.Tensor:
    return sums[:, :-1] / sums[:, -1:]


def tiles_of(height: int, width: int, *, tile: int, multiple: int) -> Iterator[tuple[slice, slice]]:
    """Cover an image with tiles that overlap by at least a quarter.

    Args:
        height: height of the image, a multiple of ``multiple``.
        width: width of the image, a multiple of ``multiple``.
        multiple: divisor of all tile sides and positions.

    Yields:
        Rows and columns of each tile.

    Example:
        >>> [(c.start, c.stop) for _, c in tiles_of(32, 160, tile=96, multiple=32)]
        [(0, 96), (64, 160)]
    """
    side = max(multiple, tile // multiple * multiple)

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        step = max(multiple, side * 3 // 4 // multiple * multiple)
        inner = list(range(0, length - side, step))
        return [*inner, length - side]

    for top in starts(height):
        for left in starts(width):
            yield (
                slice(top, min(top + side, height)),
                slice(left, min(left + side, width)),
            )


def blending_window(height: int, width: int) -> torch.Tensor:
    """Return positive weights, shape (height, width), that fall from the centre to the edges."""

    def ramp(length: int) -> torch.Tensor:
        distance = torch.arange(length) + 0.5
        # Squared, so that a tile's edge hardly counts near the centre of another tile.
        return torch.minimum(distance, length - distance) ** 2

    return ramp(height)[:, None] * ramp(width)[None, :]


def enlarge_rows(maps: torch.Tensor, size: tuple[int, int], rows: slice) -> torch.Tensor:
    """Upsample maps to pixels bilinearly, for some rows only.

    Equal to the same rows of :func:`segdistill.images.resize.enlarge`, without the memory for the
    full result.

    Args:
        maps: maps of shape (1, channels, h, w).
        size: height and width of the full result.
        rows: rows of the full result to return.

    Returns:
        Tensor of shape (1, channels, rows.stop - rows.start, size[1]).
    """
    y = (torch.arange(rows.start, rows.stop) + 0.5) * (maps.shape[2] / size[0]) - 0.5
    y = y.clamp(0, maps.shape[2] - 1)
    top = y.floor().long()
    bottom = (top + 1).clamp(max=maps.shape[2] - 1)
    down = (y - top)[None, None, :, None]
    band = maps[:, :, top] * (1 - down) + maps[:, :, bottom] * down
    return F.interpolate(band, size=(band.shape[2], size[1]), mode="bilinear", align_corners=False)


def bands_of(height: int, *, width: int, classes: int, max_values: int = 2**26) -> Iterator[slice]:
    """Split the rows of an image into bands of at most ``max_values`` class scores."""
    rows = max(1, max_values // (width * classes))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))
