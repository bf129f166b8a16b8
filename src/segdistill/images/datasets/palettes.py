"""The usual colours of data sets."""

from segdistill.images.labels import Colour


def pascal_palette(count: int) -> tuple[Colour, ...]:
    """Return the first colours of Pascal VOC's palette, which COCO-Stuff uses, too.

    The bits of a class's index are distributed to red, green and blue in turn, the lowest bits of
    the index to the highest bits of the colour.

    Example:
        >>> pascal_palette(4)
        ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    return tuple(_pascal_colour(index) for index in range(count))


def _pascal_colour(index: int) -> Colour:
    def channel(first_bit: int) -> int:
        bits = ((index >> (3 * place + first_bit) & 1) << (7 - place) for place in range(8))
        return sum(bits)

    return channel(0), channel(1), channel(2)
