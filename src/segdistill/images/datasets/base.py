"""The common interface of data sets, independent of their folder layouts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.images.labels import VOID, Colour, read_labels


@dataclass(frozen=True)
class LabelledImage:
    """An image of a data set.

    Attributes:
        image: the image file.
        labels: label file; ``None`` if the image has none.
        depth: depth map; ``None`` if the data set has none.
    """

    image: ImageFile
    labels: Path | None
    depth: Path | None = None


@dataclass(frozen=True)
class Stock:
    """The files of a split, and what is missing.

    Attributes:
        items: images that were found.
        missing: missing files and folders, in words that follow 'missing:'.
    """

    items: tuple[LabelledImage, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(ABC):
    """A labelled data set; one subclass per folder layout.

    Attributes:
        name: short name, as used by commands.
        title: one-line description.
        classes: names of the classes by index; empty if each folder has its own.
        colours: colour of each class.
        splits: names of the splits, ``train`` and ``val`` first.
        obtain: where and how to get the data set.
        layout: paths of its files, for display.
        folder: path of the data set under the root; the root may also be that folder itself.
        marker: file or folder by which the data set's own folder is recognised.
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
    folder: str
    marker: str
    label_values: Mapping[int, int] | None = None

    @abstractmethod
    def take_stock(self, home: Path, split: str) -> Stock:
        """Find the files of a split in the data set's own folder.

        Args:
            home: the data set's own folder, from :meth:`home`.
            split: one of :attr:`splits`.
        """

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
        home = self.home(root)
        if home is None:
            return Stock(missing=(f"the folder {self.folder or root}",))
        return self.take_stock(home, split)

    def items(self, root: Path, split: str) -> list[LabelledImage]:
        """List the images of a split with their labels.

        Args:
            root: folder that contains :attr:`folder`, or that folder itself.
            split: one of :attr:`splits`.

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

    def missing(self, root: Path) -> list[str]:
        """Return in words what is missing from all splits; empty if nothing is."""
        found = (word for split in self.splits for word in self.stock(root, split).missing)
        return list(dict.fromkeys(found))

    def read_labels(self, path: Path) -> NDArray[np.int64]:
        """Read a label file as class indices, with 255 for pixels that belong to no class.

        Returns:
            Array of shape (height, width).

        Raises:
            UserError: the file is missing or damaged.
        """
        values = self.read_label_values(path)
        return values if self.label_values is None else map_labels(values, self.label_values)

    def read_label_values(self, path: Path) -> NDArray[np.int64]:
        """Read the stored values of a label file, shape (height, width)."""
        return read_labels(path)

    def class_names(self, root: Path) -> tuple[str, ...]:
        """Return the class names, from the data set's folder if need be; empty if unknown."""
        del root
        return self.classes

    def home(self, root: Path) -> Path | None:
        """Return the data set's own folder, or ``None`` if it does not exist.

        The root may be any part of the path: for ``VOCdevkit/VOC2012``, it may be the folder that
        contains ``VOCdevkit``, or ``VOCdevkit``, or ``VOC2012``.
        """
        if (root / self.folder).is_dir():
            return root / self.folder
        parts = PurePath(self.folder).parts
        inner = (root.joinpath(*parts[start:]) for start in range(1, len(parts) + 1))
        return next((folder for folder in inner if self.is_home(folder)), None)

    def is_home(self, folder: Path) -> bool:
        """Return whether a folder is the data set's own folder."""
        return (folder / self.marker).exists()


def map_labels(values: NDArray[np.int64], classes: Mapping[int, int]) -> NDArray[np.int64]:
    """Map the values of a label file to class indices.

    Args:
        values: label values of any shape.
        classes: class of each value, from 0; values without a class become 255.

    Returns:
        Array of the shape of ``values``.

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


def same_labels(count: int) -> dict[int, int]:
    """Return the mapping for label files that already contain class indices.

    Example:
        >>> same_labels(2)
        {0: 0, 1: 1}
    """
    return {index: index for index in range(count)}


def in_words(home: Path, relative: str) -> str:
    """Return a path for display, beginning with the data set's own folder."""
    return (Path(home.absolute().name) / relative).as_posix()
