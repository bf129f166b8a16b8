"""Walking through folders: links are followed once, hidden folders and own outputs passed over."""

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

logger = logging.getLogger("segdistill")

LEADS_NOWHERE = "a link that leads nowhere"

# What segdistill itself writes beside pictures, and words by which it is known.
OUTPUT_MARKS = (
    ("segmenter.json", '"segdistill"'),
    ("classes.json", '"colour"'),
    ("evaluation.json", '"segdistill"'),
    ("depth.json", '"segdistill"'),
)


def split_pattern(source: str) -> tuple[Path, str]:
    """Return the folder in which a pattern is to be looked for, and the rest of it.

    Parts that exist under their very names belong to the folder, whatever brackets they hold.

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
    """Yield what a glob pattern matches.

    ``**`` stands for a folder and all below it, each once, as :func:`folders_under` gives them.

    Args:
        root: folder in which to look.
        pattern: relative to it, with parts such as ``*``, ``[ab]?.png`` and ``**``.

    Yields:
        Paths that begin with the root, in no certain order; some perhaps more than once.
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
    """Return what one part of a pattern matches in a folder; hidden names only if it says so."""
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
    """Return whether a path is a link whose target is not there."""
    return path.is_symlink() and not path.exists()


def is_output(folder: Path, files: Iterable[str]) -> bool:
    """Return whether segdistill itself wrote a folder: a run, or masks.

    Both hold pictures, too, which are nothing to learn from.

    Args:
        folder: to look at.
        files: names of the files in it.
    """
    for name, mark in OUTPUT_MARKS:
        if name in files:
            try:
                text = (folder / name).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if mark in text:
                return True
    return False


def folders_under(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder to search, with the names of its files.

    Links to folders are followed after the folders proper, and each folder is given once, so that
    links that lead round in circles do no harm. Hidden folders and those that segdistill itself
    wrote are passed over; the root is not.

    Args:
        root: folder to begin with.

    Yields:
        The folder, as a path that begins with the root, and the names of the files in it.
    """
    # A link to a folder above the root would lead back into it.
    seen = {_identity(above) for above in root.resolve().parents}
    waiting = [root]
    while waiting:
        for name, folders, files in os.walk(waiting.pop(0), onerror=_warn):
            folder = Path(name)
            identity = _identity(folder)
            if identity in seen or (folder != root and is_output(folder, files)):
                folders.clear()
                continue
            seen.add(identity)
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            # os.walk names links to folders, but does not follow them.
            waiting += [folder / each for each in folders if (folder / each).is_symlink()]
            yield folder, files


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _warn(error: OSError) -> None:
    logger.warning("%s: cannot be searched (%s)", error.filename, error.strerror)
