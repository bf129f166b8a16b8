"""One interface to local folders and remote storage, such as object stores, based on fsspec.

The URL scheme selects the fsspec driver: ``s3://bucket/photos``, ``gs://bucket/photos``,
``memory://photos`` and so on. Set credentials and endpoints as the driver's documentation
describes, for example with ``AWS_PROFILE`` and ``AWS_ENDPOINT_URL``.
"""

import contextlib
import errno
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from segdistill.errors import FullDiskError, UserError, install_command
from segdistill.files import atomic_path, check_regular, translate_os_errors, write_text_atomically

logger = logging.getLogger("segdistill")

Result = TypeVar("Result")

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
DRIVERS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""The segdistill extra that installs the driver of each URL scheme."""

OBJECT_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"])
"""URL schemes of object stores, which have no directories to create."""

ATOMIC_STORES = OBJECT_STORES | {"memory"}
"""URL schemes of stores with atomic writes: a file appears only once it is complete."""

MAX_TEXT_BYTES = 2**28
MAX_ATTEMPTS = 4
INITIAL_BACKOFF_SECONDS = 0.5

# Errors that retrying does not fix.
PERMANENT_ERRORS = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
)


def is_url(source: object) -> bool:
    """Return whether a source is a URL; ``file://`` URLs count as paths.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("photos"), is_url("file:///photos")
        (True, False, False)
    """
    return isinstance(source, str) and bool(URL.match(source)) and not source.startswith("file://")


def strip_file_scheme(source: str) -> str:
    """Remove a leading ``file://``; other URLs and paths are returned unchanged.

    Example:
        >>> strip_file_scheme("file:///photos")
        '/photos'
    """
    return source.removeprefix("file://")


class Folder(Protocol):
    """A local or remote folder; can be pickled."""

    @property
    def address(self) -> str:
        """Path or URL of the folder."""

    @property
    def path(self) -> Path | None:
        """Path of a local folder; ``None`` for a remote one."""

    def names(self) -> Iterator[str]:
        """Yield the relative names of all files in the folder, recursively."""

    def fetch(self, name: str, path: Path) -> None:
        """Download a file to a local path.

        Raises:
            UserError: the file does not exist or cannot be read.
        """

    def send(self, path: Path, name: str) -> None:
        """Upload a local file atomically; an existing file is replaced.

        Raises:
            UserError: the file cannot be written.
        """


def open_folder(location: str | Path) -> "Folder":
    """Return the folder at a path or URL.

    Raises:
        UserError: there is no driver for the URL.

    Example:
        >>> open_folder("photos").address, open_folder("memory://photos/").address
        ('photos', 'memory://photos')
    """
    if is_url(location):
        return RemoteFolder(str(location))
    return LocalFolder(Path(strip_file_scheme(str(location))))


class LocalFolder:
    """A folder in the local file system, including mounted network drives.

    Args:
        path: path of the folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def address(self) -> str:
        """Path of the folder."""
        return str(self.path)

    def names(self) -> Iterator[str]:
        """Yield the relative names of all files in the folder, recursively."""
        for path in self.path.rglob("*"):
            if path.is_file():
                yield path.relative_to(self.path).as_posix()

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file of the folder to another path."""
        source = self.path / name
        if not source.is_file():
            raise UserError(f"{source}: no such file")
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)

    def send(self, path: Path, name: str) -> None:
        """Copy a file into the folder."""
        with atomic_path(self.path / name) as temporary:
            shutil.copyfile(path, temporary)


class RemoteFolder:
    """A folder at a URL.

    Operations that fail with a transient error are attempted up to four times.

    Args:
        url: URL of the folder; it need not exist yet.

    Raises:
        UserError: there is no driver for the URL.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> folder = RemoteFolder("memory://doctest-storage")
        >>> with TemporaryDirectory() as scratch:
        ...     note = Path(scratch) / "note.txt"
        ...     _ = note.write_text("kept")
        ...     folder.send(note, "a/note.txt")
        ...     folder.fetch("a/note.txt", Path(scratch) / "again.txt")
        ...     (Path(scratch) / "again.txt").read_text()
        'kept'
        >>> list(folder.names())
        ['a/note.txt']
    """

    path = None

    def __init__(self, url: str) -> None:
        kind, _, rest = url.rstrip("/").partition("://")
        self.address = f"{kind.lower()}://{rest}"
        _ = self._filesystem

    def __reduce__(self) -> tuple[type["RemoteFolder"], tuple[str]]:
        # Open connections cannot be pickled.
        return RemoteFolder, (self.address,)

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        import fsspec  # noqa: PLC0415 - slow, and most folders are local

        kind = self.address.split("://", maxsplit=1)[0]
        try:
            system, root = fsspec.core.url_to_fs(self.address)
        except ImportError as error:
            extra = DRIVERS.get(kind)
            fix = f"run {install_command(extra)}" if extra else str(error)
            raise UserError(f"{self.address}: the driver is not installed; {fix}") from error
        except ValueError as error:
            raise UserError(
                f"{self.address}: this URL scheme is not supported; use s3://, gs:// or another one"
                f" that fsspec supports ({error})"
            ) from error
        return system, str(root).rstrip("/")

    def names(self) -> Iterator[str]:
        """Yield the relative names of all files in the folder, recursively."""
        system, root = self._filesystem
        # Other processes may have written files since the last listing.
        system.invalidate_cache()
        for found in self._retry(self.address, lambda: system.find(root)):
            name = str(found)[len(root) :].removeprefix("/")
            # Object stores represent folders as keys that end with a slash.
            if name and not name.endswith("/"):
                yield name

    def is_file(self) -> bool:
        """Return whether the URL refers to a file."""
        system, root = self._filesystem
        system.invalidate_cache()
        return bool(self._retry(self.address, lambda: system.isfile(root)))

    def fetch(self, name: str, path: Path) -> None:
        """Download a file to a local path."""
        system, root = self._filesystem
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)

        def read() -> None:
            try:
                system.get_file(f"{root}/{name}", str(path))
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise FullDiskError(f"{path.parent}: the disk is full") from error
                raise

        self._retry(f"{self.address}/{name}", read)

    def send(self, path: Path, name: str) -> None:
        """Upload a local file."""
        system, root = self._filesystem
        target = f"{root}/{name}"
        kind = self.address.split("://", maxsplit=1)[0]
        hidden = str(PurePosixPath(target).with_name(f".{PurePosixPath(name).name}.part"))

        def write() -> None:
            if kind not in OBJECT_STORES:
                system.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            if kind in ATOMIC_STORES:
                system.put_file(str(path), target)
            else:
                system.put_file(str(path), hidden)
                _move(system, hidden, target)

        self._retry(f"{self.address}/{name}", write)

    def _retry(self, url: str, work: Callable[[], Result]) -> Result:
        """Run an operation; retry on transient errors.

        Raises:
            UserError: all attempts failed.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                return work()
            except FullDiskError:
                raise
            except PERMANENT_ERRORS as error:
                if isinstance(error, FileNotFoundError):
                    raise UserError(f"{url}: no such file, folder or bucket") from error
                raise UserError(f"{url}: {error}") from error
            except Exception as error:  # each driver raises its own errors
                if attempt == MAX_ATTEMPTS - 1:
                    raise UserError(
                        f"{url}: cannot be reached ({type(error).__name__}: {error})"
                    ) from error
                logger.info("%s: %s; retrying", url, type(error).__name__)
                time.sleep(INITIAL_BACKOFF_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


def read_text(folder: Folder, name: str) -> str | None:
    """Return the text of a file of a folder; ``None`` if there is none.

    Raises:
        UserError: a local file cannot be read, or is too large.
    """
    try:
        with local_copy(folder, name) as path:
            check_regular(path)
            with path.open("rb") as file:
                content = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        where = f"{folder.address}/{name}"
        raise UserError(f"{where}: cannot be read ({error.strerror})") from error
    except UserError:
        return None
    if len(content) > MAX_TEXT_BYTES:
        raise UserError(f"{folder.address}/{name}: larger than {MAX_TEXT_BYTES >> 20} MiB")
    return content.decode("utf-8", errors="replace")


def write_text(folder: Folder, name: str, text: str) -> None:
    """Write a text file into a folder, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    if folder.path is not None:
        write_text_atomically(folder.path / name, text)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / PurePosixPath(name).name
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        folder.send(path, name)


@contextlib.contextmanager
def local_copy(folder: Folder, name: str) -> Iterator[Path]:
    """Provide a file of a folder as a local path; of a remote folder, a temporary copy.

    Raises:
        UserError: the file does not exist or cannot be read.
    """
    if folder.path is not None:
        yield folder.path / name
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / PurePosixPath(name).name
        folder.fetch(name, path)
        yield path


def with_absolute_path(folder: Folder) -> Folder:
    """Return a local folder with an absolute path, for workers with another working directory.

    Example:
        >>> with_absolute_path(LocalFolder(Path("photos"))).path.is_absolute()
        True
    """
    return folder if folder.path is None else LocalFolder(folder.path.absolute())


def _move(system: Any, source: str, target: str) -> None:
    from fsspec import AbstractFileSystem  # noqa: PLC0415 - slow, and most folders are local

    if type(system).mv is not AbstractFileSystem.mv:
        system.mv(source, target)
        return
    # The default mv expands names as glob patterns.
    system.cp_file(source, target)
    system.rm_file(source)
