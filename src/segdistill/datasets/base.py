"""What a data set is: its classes, its files, and what its label files mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.images.palette import VOID, Colour
from segdistill.labels.class_names import read_class_names
from segdistill.labels.label_files import read_label_numbers, read_labels


@dataclass(frozen=True)
class LabelledImage:
    """An image of a data set, with its label file and depth map if it has them."""

    image: ImageFile
    labels: Path | None
    depth: Path | None = None


@dataclass(frozen=True)
class Stock:
    """The images of a split, and missing files and folders, in words that follow 'missing:'."""

    items: tuple[LabelledImage, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """A labelled data set.

    Attributes:
        name: short name, as used by commands.
        title: one-line description.
        classes: names of the classes by index; empty if each folder has its own.
        colours: colour of each class.
        splits: names of the splits, ``train`` and ``val`` first.
        obtain: where and how to get the data set.
        layout: paths of its files, for display.
        find: finds the files of a split in the data set's own folder; see
            :mod:`segdistill.datasets.layouts`.
        folder: path of the data set under the root; the root may also be that folder itself.
        marker: file or folder by which the data set's own folder is recognised.
        own_name: start of that folder's name, where other data have the same marker.
        label_values: class of each value in a label file; other values are void. ``None`` keeps
            the values unchanged.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    splits: tuple[str, ...] = ("train", "val")
    obtain: str
    layout: tuple[str, ...]
    find: Callable[[Path, str], Stock]
    folder: str
    marker: str
    own_name: str = ""
    label_values: Mapping[int, int] | None = None

    def stock(self, root: Path, split: str) -> Stock:
        """Find the files of a split; unlike :meth:`items`, this allows missing files.

        Args:
            root: folder that contains :attr:`folder`, or that folder itself.
            split: one of :attr:`splits`.

        Raises:
            UserError: there is no such split.
        """
        if split not in self.splits:
            raise UserError(
                f"{self.name} has no split {split!r}; choose from {', '.join(self.splits)}"
            )
        home = self._home(root)
        if home is None:
            return Stock(missing=(f"the folder {self.folder or root}",))
        return self.find(home, split)

    def items(self, root: Path, split: str) -> list[LabelledImage]:
        """List the images of a split with their labels; see :meth:`stock`.

        Raises:
            UserError: a file is missing, or there is no such split.
        """
        stock = self.stock(root, split)
        if stock.missing:
            raise UserError(
                f"{root}: {self.name} is not complete; missing: {'; '.join(stock.missing)}."
                f" To get it: {self.obtain}"
            )
        return list(stock.items)

    def read_labels(self, path: Path) -> NDArray[np.int64]:
        """Read a label file as class indices, with 255 for pixels that belong to no class.

        Returns:
            Array of shape (height, width).

        Raises:
            UserError: the file is missing or damaged.
        """
        if self.label_values is None:
            return read_labels(path)
        return map_labels(read_label_numbers(path), self.label_values)

    def class_names(self, root: Path) -> tuple[str, ...]:
        """Return the class names; where each folder has its own, the lines of ``classes.txt``.

        Raises:
            UserError: ``classes.txt`` is not UTF-8 text, or holds control characters.
        """
        path = root / "classes.txt"
        if self.classes or not path.is_file():
            return self.classes
        return read_class_names(path)

    def _home(self, root: Path) -> Path | None:
        """Return the data set's own folder, or ``None`` if it does not exist.

        The root may be any part of the path: for ``VOCdevkit/VOC2012``, it may be the folder that
        contains ``VOCdevkit``, or ``VOCdevkit``, or ``VOC2012``.
        """
        if (root / self.folder).is_dir():
            return root / self.folder
        parts = PurePath(self.folder).parts
        for start in range(1, len(parts) + 1):
            inner = root.joinpath(*parts[start:])
            named = inner.absolute().name.lower().startswith(self.own_name)
            if named and (inner / self.marker).exists():
                return inner
        return None


def map_labels(values: NDArray[np.int64], classes: Mapping[int, int]) -> NDArray[np.int64]:
    """Map the values of a label file, of any shape, to class indices.

    Args:
        values: label values.
        classes: class of each value, from 0; values without a class become 255.

    Example:
        >>> map_labels(np.array([0, 7, 8, -1, 300]), {7: 0, 8: 1}).tolist()
        [255, 0, 1, 255, 255]
    """
    count = max(classes) + 1
    table = np.full(count + 1, VOID, np.int64)  # the last entry is for values out of range
    for value, index in classes.items():
        table[value] = index
    in_range = (values >= 0) & (values < count)
    mapped: NDArray[np.int64] = table[np.where(in_range, values, count)]
    return mapped
