"""What the numbers and colours of label files mean: their classes, and those to ignore."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.images.palette import VOID
from segdistill.labels.label_pixels import NO_VALUE, LabelPixels, Values, is_grey

MOST_CLASSES = 255
VOID_AS_CLASS = (
    "if 255 is a class, say so in a label map (--label-map):"
    " classes: [{name: background, numbers: 0}, {name: object, numbers: 255}]"
)
"""Advice for masks of 0 and 255, where 255 means 'not labelled'."""
SMALL = 2**16
"""Numbers below this are looked up in a table, which is fastest."""

UNLISTED = -1
"""Class of values that a map does not list."""


class Numbers(NamedTuple):
    """A range of numbers, both ends included, and its class, :data:`VOID` to ignore it."""

    first: int
    last: int
    label: int


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Classes of the values in label files.

    Attributes:
        names: names of the classes; empty if numbers are counted as they are.
        numbers: classes of numbers; the ranges do not overlap.
        colours: class of each colour, given as 0xRRGGBB; :data:`VOID` to ignore it.
        first: number of class 0 where the classes have no names: the class is the number less this.
        image_suffix: end of the images' names, without that of the file format.
        label_suffix: the same for label files.
        source: where the map was read, for messages.
        ignores_by_default: whether 255 is ignored because nothing else was said.

    Example:
        >>> cars = LabelMap(names=("car",), numbers=(Numbers(26, 28, 0), Numbers(0, 0, 255)))
        >>> cars.classes_of(np.array([26, 28, 0, 5])).tolist()
        [0, 0, 255, -1]
    """

    names: tuple[str, ...] = ()
    numbers: tuple[Numbers, ...] = (Numbers(VOID, VOID, VOID),)
    colours: Mapping[int, int] = field(default_factory=dict)
    first: int = 0
    image_suffix: str = ""
    label_suffix: str = ""
    source: str = ""
    ignores_by_default: bool = False

    def labels(self, pixels: LabelPixels) -> Values:
        """Return the class of each pixel, :data:`VOID` to ignore, :data:`UNLISTED` for no class."""
        values, coloured = self.seen(pixels)
        if not coloured and values.size and values.min() >= 0 and values.max() < SMALL:
            return self.classes_of(np.arange(values.max() + 1))[values]
        runs = Runs.of(values)
        classes = self.classes_of(runs.values, coloured=coloured)
        return runs.spread(classes).reshape(values.shape)

    def seen(self, pixels: LabelPixels) -> tuple[Values, bool]:
        """Return the values that count, and whether they are colours.

        The values of a file with a palette are its numbers, unless the map lists only colours.
        """
        by_colour = bool(set(self.colours.values()) - {VOID}) and not self._class_numbers
        if pixels.palette is None or not by_colour:
            return pixels.values, pixels.coloured
        colours = pixels.palette[pixels.values.clip(0, len(pixels.palette) - 1)]
        return np.where(pixels.values == NO_VALUE, NO_VALUE, colours), True

    def classes_of(self, values: Values, *, coloured: bool = False) -> Values:
        """Return the classes of numbers, or of colours given as 0xRRGGBB.

        A grey colour and the number of its channels mean the same, if only one of them is listed.

        Args:
            values: shape (values,).
            coloured: whether they are colours.

        Returns:
            Shape (values,): classes, :data:`VOID` to ignore, :data:`UNLISTED` for no class.
        """
        if coloured:
            found = self._of_colours(values)
            other = np.where(is_grey(values), self._of_numbers(values & 255), UNLISTED)
        else:
            found = self._of_numbers(values)
            in_range = (values >= 0) & (values <= 255)
            other = np.where(in_range, self._of_colours((values & 255) * 0x010101), UNLISTED)
        found = np.where(found == UNLISTED, other, found)
        return np.where(values == NO_VALUE, VOID, found)

    @cached_property
    def _class_numbers(self) -> bool:
        return not self.names or any(each.label != VOID for each in self.numbers)

    @cached_property
    def _ranges(self) -> tuple[Values, Values, Values]:
        ordered = np.array(sorted(self.numbers), np.int64).reshape(-1, 3)
        return ordered[:, 0], ordered[:, 1], ordered[:, 2]

    @cached_property
    def _sorted_colours(self) -> tuple[Values, Values]:
        ordered = np.array(sorted(self.colours.items()), np.int64).reshape(-1, 2)
        return ordered[:, 0], ordered[:, 1]

    def _of_numbers(self, values: Values) -> Values:
        first, last, classes = self._ranges
        found = np.full(values.shape, UNLISTED, np.int64)
        if not self.names:
            # Negative numbers mean 'not labelled' in most sets that have them.
            index = values - self.first
            found = np.where((index >= 0) & (index < MOST_CLASSES), index, found)
            found = np.where(values < min(self.first, 0), VOID, found)
        if len(first):
            place = np.searchsorted(first, values, side="right") - 1
            inside = (place >= 0) & (values <= last[place])
            found = np.where(inside, classes[place], found)
        return found

    def _of_colours(self, values: Values) -> Values:
        known, classes = self._sorted_colours
        if not len(known):
            return np.full(values.shape, UNLISTED, np.int64)
        place = np.searchsorted(known, values).clip(0, len(known) - 1)
        return np.where(known[place] == values, classes[place], UNLISTED)


@dataclass(frozen=True, eq=False)
class Runs:
    """Values of many pixels as runs of equal ones: label maps have few, and sorting takes long.

    Attributes:
        values: different values, increasing, shape (values,).
        which: index in ``values`` of each run, shape (runs,).
        lengths: pixels in each run, shape (runs,).
    """

    values: Values
    which: NDArray[np.intp]
    lengths: NDArray[np.intp]

    @classmethod
    def of(cls, values: Values) -> "Runs":
        """Return the runs of an array in its flat order.

        Example:
            >>> runs = Runs.of(np.array([7, 7, 3, 7]))
            >>> runs.values.tolist(), runs.counts.tolist()
            ([3, 7], [1, 3])
            >>> runs.spread(np.array([0, 1])).tolist()
            [1, 1, 0, 1]
        """
        flat = values.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])[: flat.size]
        found, which = np.unique(flat[starts], return_inverse=True)
        return cls(found, which, np.diff(starts, append=flat.size))

    @property
    def counts(self) -> Values:
        """Pixels of each value, shape (values,)."""
        counts = np.bincount(self.which, self.lengths, minlength=len(self.values))
        return counts.astype(np.int64)

    def spread(self, of_values: Values) -> Values:
        """Return for every pixel what ``of_values`` says about its value, shape (pixels,)."""
        return np.repeat(of_values[self.which], self.lengths)


PLAIN = LabelMap()
"""Numbers are class indices; 255 and negative ones are ignored."""
