"""What is told about single files, each once, however often it is read."""

import logging
import threading
from collections import Counter

logger = logging.getLogger("segdistill")

MOST_NAMED = 3
"""Number of files that are named for each kind of notice; a folder may hold thousands."""

_lock = threading.Lock()
_told: set[tuple[str, str]] = set()
_counts: Counter[str] = Counter()


def tell_once(name: str, text: str, *, kind: str) -> None:
    """Log a warning about a file, unless it was logged before.

    Args:
        name: path of the file.
        text: what is to be told.
        kind: what it is about, such as ``pictures``; after a few files, the others of a kind are
            only mentioned.
    """
    with _lock:
        if (kind, name) in _told:
            return
        _told.add((kind, name))
        _counts[kind] += 1
        count = _counts[kind]
    if count <= MOST_NAMED:
        logger.warning("%s: %s", name, text)
    elif count == MOST_NAMED + 1:
        logger.warning("%s: %s; further files of this kind are not listed", name, text)


def forget_notices() -> None:
    """Forget what was told, so that it is told again; for tests and long-lived processes."""
    with _lock:
        _told.clear()
        _counts.clear()
