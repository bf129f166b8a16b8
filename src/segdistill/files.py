"""Writing files so that a reader never sees half of one."""

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
"""Names that :func:`atomic_path` gives; hidden, so that nothing takes them for images."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there if the block succeeds.

    The temporary name keeps the suffix of ``path``, since many writers choose a format by it.
    On any failure the temporary file is removed and ``path`` is left as it was. Where the process
    is killed it stays, until :func:`remove_leftovers` finds it.

    Args:
        path: where the file should end; its folder is made if it is missing.

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
        with _held(descriptor):
            try:
                yield temporary
                # mkstemp makes private files; the result should have the usual rights.
                temporary.chmod(0o666 & ~_umask())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what :func:`atomic_path` left unfinished in a folder when its process was killed.

    What another process is writing at this moment stays: its lock ends only when it does. Where
    files cannot be locked, nothing is removed.

    Args:
        folder: not searched further down; it need not exist.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(each) for each in entries if TEMPORARY_NAME.fullmatch(each.name)]:
            with contextlib.suppress(OSError):
                _remove_unless_held(path)


def write_text_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8 so that it appears whole or not at all.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Reword a full disk or a write that is not allowed as a :class:`UserError`.

    Args:
        path: the file or folder being written, named in the message.

    Raises:
        UserError: in place of the ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UserError(f"{path}: the disk is full; free some space and try again") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); choose another place"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{path}: the name is too long; shorten it") from error
        if error.errno == errno.EISDIR:
            raise UserError(f"{path}: a folder stands where a file is to be written") from error
        if error.errno == errno.ENOENT:
            raise UserError(f"{path}: cannot be made here; choose another place") from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            raise UserError(f"{path}: a file stands where a folder is needed") from error
        raise


@contextlib.contextmanager
def _held(descriptor: int) -> Iterator[None]:
    """Lock a new file while it is written; the lock of a process that is killed is gone, too."""
    if sys.platform == "win32":  # where a file that is open could not be moved into place
        os.close(descriptor)
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network disks know no locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _remove_unless_held(path: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def _umask() -> int:
    # The mask can only be read by setting it; reading /proc avoids changing it for other threads.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
