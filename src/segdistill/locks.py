"""Locks on folders, so that two commands never mix their files in one of them."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from segdistill.errors import UserError
from segdistill.files import translate_os_errors

if sys.platform != "win32":
    import fcntl

PAUSE = 0.02


@contextlib.contextmanager
def only_writer(folder: Path | None, *, seconds: float = 0.0) -> Iterator[None]:
    """Be the only process that writes to a folder, while the block runs.

    The folder itself is locked: no file is needed, and the lock ends with the process, however that
    ends. Readers are not kept out. On file systems without locks, nothing is locked.

    Args:
        folder: the folder, which is created with its parents if they are missing; those that are
            then still empty are removed; ``None``, or the path of a file, locks nothing.
        seconds: how long to wait for another writer, if there is one.

    Raises:
        UserError: another process, or another thread, writes to the folder; or it cannot be
            created.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, only_writer(Path(folder)):
        ...     with only_writer(Path(folder)):
        ...         pass
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: ...: another command is writing to it; run this one again \
when that one has finished, or choose another folder
    """
    if sys.platform == "win32" or folder is None or (folder.exists() and not folder.is_dir()):
        yield
        return
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    descriptor = _lock(folder, time.monotonic() + seconds)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it holds files, as it should
            for each in created:
                each.rmdir()
        os.close(descriptor)


def _lock(folder: Path, deadline: float) -> int:
    """Open and lock a folder; return its file descriptor."""
    while True:
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise UserError(
                    f"{folder}: another command is writing to it; run this one again when that one"
                    " has finished, or choose another folder"
                ) from error
            time.sleep(PAUSE)
            continue
        except OSError:  # a file system without locks
            return descriptor
        if _is_at(folder, descriptor):
            return descriptor
        os.close(descriptor)  # another process has just removed it, since it was empty


def _is_at(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False
