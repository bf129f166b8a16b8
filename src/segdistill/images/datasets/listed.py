"""Finding the images that a list names."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segdistill.images.datasets.base import LabelledImage, Stock, in_words
from segdistill.images.folder import ImageFile


@dataclass(frozen=True)
class ListedFiles:
    """The files of a folder that a list names.

    Attributes:
        home: the data set's own folder.
        folder: relative to ``home``.
        suffix: what follows an entry of the list in the file's name.
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
        """Return the names of all files in the folder, read at one go: lists are long."""
        folder = self.home / self.folder
        return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def take_listed(
    entries: Iterable[str],
    images: ListedFiles,
    labels: ListedFiles | None,
    *,
    required: bool = True,
) -> Stock:
    """Look for the images that a list names, and for their labels.

    Args:
        entries: names without endings.
        images: where the images lie.
        labels: where the labels lie, if there are any.
        required: whether labels that are not there count as missing.
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
    """Read a list of names, one a line.

    Args:
        home: the data set's own folder.
        relative: where the list lies in it.

    Returns:
        The names, each once, and what is missing, in words.
    """
    path = home / relative
    if not path.is_file():
        return [], (f"the list {in_words(home, relative)}",)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    entries = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return entries, () if entries else (f"any entry in the list {in_words(home, relative)}",)
