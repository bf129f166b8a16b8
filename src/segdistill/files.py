"""Files: written atomically, so that readers never see half of one; what is no file is refused."""

import contextlib
import errno
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from segdistill.errors import FullDiskError, UserError

if sys.platform != "win32":
    import fcntl

Stamp = tuple[int, int, int]

MAX_TEXT_BYTES = 10**6

TEMPORARY_NAME = re.compile(r"\..{0,40}-[a-z0-9_]{8}\.part(\.[^.]*)?", re.DOTALL)
"""Temporary file names of :func:`atomic_path`; hidden, so that they are not listed as images."""

IRREGULAR = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
"""What may be in the place of a file, in words; all else are devices."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
PROBE_BYTES = 1 << 20
"""Bytes written to find out whether a disk is full; libraries write smaller pieces."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; move it to ``path`` if the block succeeds.

    The temporary name keeps the suffix of ``path``, since many writers infer the format from it.
    On failure, the temporary file is removed and ``path`` is unchanged. If the process is killed,
    the temporary file remains until :func:`remove_leftovers` removes it.

    Libraries often hide why they could not write: numpy and Pillow raise errors without a number,
    torch and GDAL their own. So after any failure, it is found out whether the disk is full.

    Args:
        path: the final path; missing parent folders are created.

    Raises:
        FullDiskError: the disk is full, or the file is larger than allowed.
        UserError: the folder cannot be written.

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
            except Exception as error:
                # Before the unfinished file is removed, which makes room.
                _raise_if_full(error, path, size=_size(temporary))
                raise
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


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file is written; zeros if there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def write_text_atomically(path: Path, text: str) -> None:
    r"""Write ``text`` to ``path`` as UTF-8, completely or not at all.

    Names of files that are not Unicode are written with escapes, such as ``caf\udce9.png``.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def exists(path: Path) -> bool:
    """Return whether a path exists; what cannot be a path, such as too long a name, does not.

    Example:
        >>> exists(Path("/")), exists(Path("a" * 5000))
        (True, False)
    """
    try:
        return path.exists()
    except OSError:
        return False


def check_new(folder: Path, files: Iterable[Path], kind: str, *, overwrite: bool) -> None:
    """Check that files can be written to a folder, before any work.

    Args:
        folder: the output folder, which need not exist.
        files: what may be written to it.
        kind: what the files are, for error messages, such as ``the figures``.
        overwrite: whether existing files may be replaced.

    Raises:
        UserError: the folder is a file, or a file exists and ``overwrite`` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, not a folder; choose another --out")
    existing = next((path for path in files if path.exists()), None)
    if existing is not None and not overwrite:
        raise UserError(
            f"{existing}: already exists; add --overwrite to replace {kind}, or choose another"
            " --out"
        )


def read_short_text(path: Path, *, what: str, option: str, most: int = MAX_TEXT_BYTES) -> str:
    """Read a text that a person wrote: UTF-8, of bounded length.

    Args:
        path: the file; some, such as ``/dev/zero``, have no end.
        what: what it should be, for errors, such as ``a label map``.
        option: the option that named it, for errors.
        most: bytes that it may have.

    Raises:
        UserError: it is missing, a folder, too long, unreadable or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise UserError(f"{path}: too long for {what}; check the path of {option}")
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path of {option}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; give {what}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def read_file(path: Path) -> bytes:
    """Read a file that is one; see :func:`check_regular`.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    check_regular(path)
    return path.read_bytes()


def check_regular(path: Path) -> None:
    """Check that nothing but a file is in a file's place; a missing file is let pass.

    Opening a named pipe waits for a writer, and a device may have no end.

    Raises:
        OSError: it is a folder, a named pipe, a socket or a device; the text says which.

    Example:
        >>> check_regular(Path("/dev/zero"))
        Traceback (most recent call last):
        OSError: [Errno 22] a device, not a file
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # the reader of the file says why
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"{IRREGULAR.get(stat.S_IFMT(mode), 'a device')}, not a file")


@contextlib.contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Translate common OS errors (full disk, missing permissions) to :class:`UserError`.

    Args:
        path: the file or folder being written, named in the message.

    Raises:
        UserError: raised instead of the ``OSError``; :class:`FullDiskError` if there is no room.
    """
    try:
        yield
    except OSError as error:
        _raise_if_full(error, path)
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


def _raise_if_full(error: Exception, path: Path, *, size: int = 0) -> None:
    """Raise FullDiskError if an error of writing ``size`` bytes to ``path`` has that reason."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and not isinstance(error, UserError):
        number = _reason_not_to_write(path if path.is_dir() else path.parent, size)
    if number in NO_ROOM:
        raise FullDiskError(f"{path}: the disk is full; free some space and try again") from error
    if number == errno.EFBIG:
        raise FullDiskError(
            f"{path}: larger than the disk or `ulimit -f` allows; choose another folder"
        ) from error


def _reason_not_to_write(folder: Path, size: int) -> int | None:
    """Return the error number of writing after ``size`` bytes; ``None`` if it succeeds."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.seek(size)
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


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
    if path.is_symlink():  # exports of images; nothing is written to it
        path.unlink()
        return
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
