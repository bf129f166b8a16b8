"""Walking folders: links are followed once; hidden folders and own outputs are skipped."""

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from segdistill.files import check_regular
from segdistill.layout import CLASSES_FILE, DEPTH_FILE, DESCRIPTION_FILE, SCORES_FILE

logger = logging.getLogger("segdistill")

LEADS_NOWHERE = "a broken link"

# Files that segdistill writes next to images, and text that identifies them.
OUTPUT_MARKS = (
    (DESCRIPTION_FILE, b'"segdistill"'),
    (CLASSES_FILE, b'"colour"'),
    (SCORES_FILE, b'"segdistill"'),
    (DEPTH_FILE, b'"segdistill"'),
)
MARK_WITHIN = 10_000
"""Bytes at the start of such a file that hold its mark."""


def split_pattern(source: str) -> tuple[Path, str]:
    """Split a pattern into the folder to search and the rest.

    Parts that exist literally belong to the folder, even if they contain brackets.

    Example:
        >>> root, rest = split_pattern("tiles/**/*.tif")
        >>> root.as_posix(), rest
        ('tiles', '**/*.tif')
    """
    root, parts = Path(), Path(source).parts
    for number, part in enumerate(parts):
        if glob.has_magic(part) and not (root / part).exists():
            return root, str(Path(*parts[number:]))
        root /= part
    return root, ""


def matches_of(root: Path, pattern: str) -> Iterator[Path]:
    """Yield the paths under a folder that match a glob pattern, possibly with duplicates.

    ``**`` matches a folder and all folders below it, as yielded by :func:`folders_under`.
    """
    part, *rest = Path(pattern).parts
    if part == "**":
        for folder, _ in folders_under(root):
            yield from matches_of(folder, str(Path(*rest)) if rest else "*")
        return
    for path in _entries(root, part):
        if not rest:
            yield path
        elif path.is_dir():
            yield from matches_of(path, str(Path(*rest)))


def _entries(folder: Path, part: str) -> list[Path]:
    """Return the entries that match one part of a pattern; hidden ones need a leading dot."""
    if not glob.has_magic(part):
        path = folder / part
        return [path] if path.exists() or path.is_symlink() else []
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        _warn(error)
        return []
    hidden = part.startswith(".")
    return [
        folder / name
        for name in names
        if fnmatch(name, part) and (hidden or not name.startswith("."))
    ]


def leads_nowhere(path: Path) -> bool:
    """Return whether a path is a link whose target does not exist."""
    return path.is_symlink() and not path.exists()


def is_output(folder: Path, files: Iterable[str]) -> bool:
    """Return whether segdistill wrote a folder (of these files): a run folder or masks.

    Both hold images that must not be used for training.
    """
    return any(name in files and _holds(folder / name, mark) for name, mark in OUTPUT_MARKS)


def foreign_file(folder: Path, marker: str) -> Path | None:
    """Return a file in a folder, or below it, that segdistill did not write; ``None`` if none is.

    A folder of outputs has a marker; all files in it count as written by segdistill. Hidden files
    do not count at all.

    Args:
        folder: the folder, which need not exist.
        marker: name of the file that marks a folder of such outputs, such as ``classes.json``.
    """
    if not folder.is_dir() or has_marker(folder, marker):
        return None
    for each, files in folders_under(folder):
        for name in sorted(files):
            if not name.startswith("."):
                return each / name
    return None


def has_marker(folder: Path, marker: str) -> bool:
    """Return whether segdistill wrote the file that marks a folder as its output."""
    return _holds(folder / marker, dict(OUTPUT_MARKS).get(marker, b'"segdistill"'))


def _holds(path: Path, mark: bytes) -> bool:
    """Return whether a file has a mark near its beginning."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            return mark in file.read(MARK_WITHIN)
    except OSError:
        return False


def folders_under(root: Path, *, own: bool = False) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder to search, as a path that begins with the root, and its files' names.

    Links to folders are followed after real folders, and each folder is yielded once, so that
    circular links do no harm. Hidden folders and, unless ``own`` is set, those that segdistill
    wrote are skipped, except the root. Folders that cannot be searched are named in a warning.
    """
    # A link to a parent of the root would lead back into it.
    seen = {_identity(above) for above in root.resolve().parents}
    waiting = [root]
    while waiting:
        for name, folders, files in os.walk(waiting.pop(0), onerror=_warn):
            folder = Path(name)
            try:
                identity = _identity(folder)
                if identity in seen or (not own and folder != root and is_output(folder, files)):
                    folders.clear()
                    continue
                seen.add(identity)
                folders[:] = sorted(each for each in folders if not each.startswith("."))
                # os.walk lists links to folders but does not follow them.
                waiting += [folder / each for each in folders if (folder / each).is_symlink()]
            except OSError as error:
                _warn(error)
                folders.clear()
                continue
            yield folder, files


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _warn(error: OSError) -> None:
    logger.warning("%s: cannot be searched (%s)", error.filename, error.strerror)
