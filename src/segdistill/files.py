"""Atomic file writing: readers never see a partially written file."""

import contextlib
import errno
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from segdistill.errors import UserError

if sys.platform != "win32":
    import fcntl

TEMPORARY_NAME = re.compile(r"\..{0,40}-[a-z0-9_]{8}\.part(\.[^.]*)?", re.DOTALL)
"""Temporary file names of :func:`atomic_path`; hidden, so that they are not listed as images."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; move it to ``path`` if the block succeeds.

    The temporary name keeps the suffix of ``path``, since many writers infer the format from it.
    On failure, the temporary file is removed and ``path`` is unchanged. If the process is killed,
    the temporary file remains until :func:`remove_leftovers` removes it.

    Args:
        path: the final path; missing parent folders are created.

    Raises:
        UserError: the folder cannot be written, or the disk is full.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder) / "note.txt") as temporary:
        ...         _ = temporary.write_text("kept")
        ...     (Path(folder) / "note.txt").read_text()
        'kept'
    """
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.stem[:40]}-", suffix=f".part{path.suffix}", dir=path.parent
        )
        temporary = Path(name)
        with _locked(descriptor):
            try:
                yield temporary
                # mkstemp creates private files; the result should have the usual permissions.
                temporary.chmod(0o666 & ~_umask())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files left in a folder by killed processes.

    Files that another process is still writing are locked and are kept. On file systems without
    locks, nothing is removed.

    Args:
        folder: the folder, not searched recursively; it need not exist.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(each) for each in entries if TEMPORARY_NAME.fullmatch(each.name)]:
            with contextlib.suppress(OSError):
                _remove_unless_locked(path)


def write_text_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, completely or not at all.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Translate common OS errors (full disk, missing permissions) to :class:`UserError`.

    Args:
        path: the file or folder being written, named in the message.

    Raises:
        UserError: raised instead of the ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UserError(f"{path}: the disk is full; free some space and try again") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{path}: the name is too long; shorten it") from error
        if error.errno == errno.EISDIR:
            raise UserError(f"{path}: is a folder, not a file; choose another path") from error
        if error.errno == errno.ENOENT:
            raise UserError(f"{path}: cannot be created here; choose another folder") from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            raise UserError(
                f"{path}: a file exists where a folder is needed; choose another path"
            ) from error
        raise


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Lock a new file while it is written; the lock is released when the process exits."""
    if sys.platform == "win32":  # an open file cannot be moved there
        os.close(descriptor)
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems do not support locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _remove_unless_locked(path: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def _umask() -> int:
    # os.umask() sets the mask for the whole process; /proc reads it without side effects.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
