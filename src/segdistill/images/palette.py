"""The value of pixels without a class, and the colours of classes."""

import colorsys

VOID = 255
"""Label of pixels that are ignored."""

Colour = tuple[int, int, int]


def css_colour(colour: Colour) -> str:
    """Return a colour in CSS notation.

    Example:
        >>> css_colour((0, 128, 255))
        '#0080ff'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def voc_colours(count: int) -> list[Colour]:
    """Return the first colours of Pascal VOC's palette, at most 256.

    The bits of an index, three at a time from the lowest, are the bits of red, green and blue from
    the highest.

    Example:
        >>> voc_colours(4)
        [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    """

    def channel(index: int, first_bit: int) -> int:
        return sum((index >> (3 * bit + first_bit) & 1) << (7 - bit) for bit in range(8))

    return [(channel(i, 0), channel(i, 1), channel(i, 2)) for i in range(count)]


def distinct_colours(count: int) -> list[Colour]:
    """Return colours that are easy to distinguish; a longer list begins with the same colours.

    Hues advance by the golden angle; lightness alternates, for readers who distinguish hues poorly.

    Example:
        >>> len(set(distinct_colours(27)))
        27
    """
    golden = 0.618033988749895
    colours: list[Colour] = []
    for index in range(count):
        hue = (0.58 + index * golden) % 1.0
        lightness = (0.52, 0.68, 0.38)[index % 3]
        saturation = (0.70, 0.62, 0.60)[index % 3]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours


def shades(colour: Colour, count: int) -> list[Colour]:
    """Return shades of a colour, from darker to lighter; if only one, the colour itself.

    Example:
        >>> shades((100, 150, 200), 1), shades((100, 150, 200), 3)
        ([(100, 150, 200)], [(65, 98, 130), (100, 150, 200), (154, 187, 219)])
    """
    if count == 1:
        return [colour]
    made: list[Colour] = []
    for index in range(count):
        position = 2 * index / (count - 1) - 1  # -1 is the darkest, 1 the lightest
        target, weight = (0, -0.35 * position) if position < 0 else (255, 0.35 * position)
        red, green, blue = (round(part + (target - part) * weight) for part in colour)
        made.append((red, green, blue))
    return made
