"""Codes of images of any size: overlapping tiles, blended on the code grid.

A tile's border knows less of its surroundings than its middle, so neighbouring tiles disagree
there. Each tile therefore counts most in its middle and fades to nothing at its edge, and the
blending happens on the grid of codes, before anything is enlarged: no seam is left to see, and
memory is bounded by one tile and the grid.
"""

from collections.abc import Callable, Iterator

import torch

Encode = Callable[[torch.Tensor], torch.Tensor]
"""Images (batch, 3, height, width) in 0..1 to codes (batch, channels, h, w)."""


def encode_images(
    images: torch.Tensor,
    encode: Encode,
    *,
    stride: int,
    multiple: int,
    tile: int,
    mirror: bool = False,
) -> torch.Tensor:
    """Encode images of one size, in tiles if a side is longer than a tile.

    Args:
        images: 8-bit, shape (batch, 3, height, width), sides multiples of ``multiple``, on the
            device of the network.
        encode: the network.
        stride: pixels a place of the code grid.
        multiple: what sides and positions of tiles are a multiple of (itself one of ``stride``).
        tile: longest side of a tile, in pixels.
        mirror: average with the codes of the mirrored images.

    Returns:
        Codes of shape (batch, channels, height / stride, width / stride), float32.
    """

    def encode_part(part: torch.Tensor) -> torch.Tensor:
        pixels = part.float() / 255
        codes = encode(pixels)
        if mirror:
            codes = (codes + encode(pixels.flip(dims=(3,))).flip(dims=(3,))) / 2
        return codes.float()

    count, _, height, width = images.shape
    if height <= tile and width <= tile:
        return encode_part(images)
    total: torch.Tensor | None = None
    weights = torch.zeros(1, 1, height // stride, width // stride, device=images.device)
    for rows, columns in tiles_of(height, width, tile=tile, multiple=multiple):
        codes = encode_part(images[..., rows, columns])
        window = fading_window(codes.shape[2], codes.shape[3]).to(images.device)
        place = (
            ...,
            slice(rows.start // stride, rows.stop // stride),
            slice(columns.start // stride, columns.stop // stride),
        )
        if total is None:
            total = codes.new_zeros(count, codes.shape[1], height // stride, width // stride)
        total[place] += codes * window
        weights[place] += window
    if total is None:
        raise ValueError("an image has at least one tile")
    return total / weights


def tiles_of(height: int, width: int, *, tile: int, multiple: int) -> Iterator[tuple[slice, slice]]:
    """Cover an image with tiles that overlap by at least a quarter.

    Args:
        height: of the image, a multiple of ``multiple``.
        width: of the image, a multiple of ``multiple``.
        tile: longest side of a tile.
        multiple: what every position and side is a multiple of.

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


def fading_window(height: int, width: int) -> torch.Tensor:
    """Return weights that fall from the middle to the edges, above 0 everywhere.

    Returns:
        Tensor of shape (height, width).
    """

    def ramp(length: int) -> torch.Tensor:
        distance = torch.arange(length) + 0.5
        # Squared, so that a tile's outermost places hardly count where another one has its middle.
        return torch.minimum(distance, length - distance) ** 2

    return ramp(height)[:, None] * ramp(width)[None, :]


def enlarge_rows(maps: torch.Tensor, size: tuple[int, int], rows: slice) -> torch.Tensor:
    """Enlarge maps to pixels, bilinearly, but only some of the rows.

    Equal to the same rows of :func:`segdistill.images.resize.enlarge`, without the memory that
    the whole takes.

    Args:
        maps: shape (1, channels, h, w).
        size: height and width of the whole.
        rows: which rows of the whole are wanted.

    Returns:
        Tensor of shape (1, channels, rows.stop - rows.start, size[1]).
    """
    height = maps.shape[2]
    y = (torch.arange(rows.start, rows.stop) + 0.5) * (height / size[0]) - 0.5
    y = y.clamp(0, height - 1)
    top = y.floor().long()
    bottom = (top + 1).clamp(max=height - 1)
    down = (y - top)[None, None, :, None]
    band = maps[:, :, top] * (1 - down) + maps[:, :, bottom] * down
    return torch.nn.functional.interpolate(
        band, size=(band.shape[2], size[1]), mode="bilinear", align_corners=False
    )


def bands_of(height: int, *, width: int, classes: int, max_values: int = 2**26) -> Iterator[slice]:
    """Cut the rows of an image into bands whose class scores fit into memory.

    Args:
        height: of the image.
        width: of the image.
        classes: values a pixel.
        max_values: bound on the values of a band.
    """
    rows = max(1, max_values // (width * classes))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def enlarged_bands(
    scores: torch.Tensor, size: tuple[int, int]
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Enlarge class scores to pixels, band by band.

    Args:
        scores: on a grid, shape (1, classes, h, w).
        size: height and width, in pixels.

    Yields:
        Rows, and the scores there, of shape (classes, rows, width).
    """
    for rows in bands_of(size[0], width=size[1], classes=scores.shape[1]):
        yield rows, enlarge_rows(scores, size, rows)[0]
