"""Finding the images in a list."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segdistill.images.datasets.base import LabelledImage, Stock, in_words
from segdistill.images.folder import ImageFile


@dataclass(frozen=True)
class ListedFiles:
    """Files of a folder whose names are in a list.

    Attributes:
        home: the data set's own folder.
        folder: path of the files' folder relative to ``home``.
        suffix: text that follows an entry of the list in a file's name.
    """

    home: Path
    folder: str
    suffix: str

    def name(self, entry: str) -> str:
        """Return the name of the file for an entry."""
        return f"{entry}{self.suffix}"

    def path(self, entry: str) -> Path:
        """Return the path of the file for an entry."""
        return self.home / self.folder / self.name(entry)

    def present(self) -> frozenset[str]:
        """Return the names of all files in the folder, read at once because lists are long."""
        folder = self.home / self.folder
        return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def take_listed(
    entries: Iterable[str],
    images: ListedFiles,
    labels: ListedFiles | None,
    *,
    required: bool = True,
) -> Stock:
    """Find the images in a list, and their labels.

    Args:
        entries: names without suffixes.
        images: location of the images.
        labels: location of the labels, if there are any.
        required: whether absent labels count as missing.
    """
    entries = list(entries)
    image_names = images.present()
    label_names = labels.present() if labels else frozenset[str]()
    items = tuple(
        LabelledImage(
            ImageFile(images.path(entry), Path(images.name(entry))),
            labels.path(entry) if labels and labels.name(entry) in label_names else None,
        )
        for entry in entries
        if images.name(entry) in image_names
    )
    missing = _lacking(images, image_names, entries)
    if labels and required:
        missing += _lacking(labels, label_names, entries)
    return Stock(items, missing)


def _lacking(files: ListedFiles, present: frozenset[str], entries: list[str]) -> tuple[str, ...]:
    absent = [files.name(entry) for entry in entries if files.name(entry) not in present]
    shown = in_words(files.home, files.folder)
    if not (files.home / files.folder).is_dir():
        return (f"the folder {shown}",)
    if not absent:
        return ()
    return (f"{len(absent)} of {len(entries)} files in {shown}, such as {absent[0]}",)


def read_list(home: Path, relative: str) -> tuple[list[str], tuple[str, ...]]:
    """Read a list of names, one per line.

    Args:
        home: the data set's own folder.
        relative: path of the list relative to ``home``.

    Returns:
        The names, without duplicates, and what is missing, in words.
    """
    path = home / relative
    if not path.is_file():
        return [], (f"the list {in_words(home, relative)}",)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    entries = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return entries, () if entries else (f"entries in the list {in_words(home, relative)}",)
