"""Folders wherever they are: on this machine, or at a URL through fsspec, such as an object store.

A URL names the kind of place: ``s3://bucket/photos``, ``gs://bucket/photos``, ``memory://photos``
and whatever else fsspec has a driver for. Who may read there, and at which address, is told to the
drivers as their own documentation says, for example by ``AWS_PROFILE`` and ``AWS_ENDPOINT_URL``.
"""

import errno
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from segdistill.errors import FullDiskError, UserError
from segdistill.files import atomic_path, translate_os_errors

logger = logging.getLogger("segdistill")

Result = TypeVar("Result")

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
DRIVERS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""Extras of segdistill that bring the driver of a kind of URL."""

OBJECT_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"])
"""Kinds of places that have no folders to make."""

WHOLE_AT_ONCE = OBJECT_STORES | {"memory"}
"""Kinds of places where a file appears when all of it is there."""

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5

# What another attempt does not mend.
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError)


def is_url(source: object) -> bool:
    """Return whether a source is a URL; one that begins with ``file://`` is a path like others.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("photos"), is_url("file:///photos")
        (True, False, False)
    """
    return isinstance(source, str) and bool(URL.match(source)) and not source.startswith("file://")


def without_file(source: str) -> str:
    """Return a path without the ``file://`` that it may begin with; URLs as they are.

    Example:
        >>> without_file("file:///photos")
        '/photos'
    """
    return source.removeprefix("file://")


class Folder(Protocol):
    """A folder, wherever it is. It can be sent to another process."""

    @property
    def place(self) -> str:
        """Its path or URL, for people."""

    @property
    def path(self) -> Path | None:
        """Its path, if it lies on this machine."""

    def names(self) -> Iterator[str]:
        """Yield the relative names of all files in it and below."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy one of its files to a path on this machine.

        Raises:
            UserError: the file is not there or cannot be read.
        """

    def send(self, path: Path, name: str) -> None:
        """Copy a file of this machine into it; it appears whole, and replaces what was there.

        Raises:
            UserError: it cannot be written.
        """


def open_folder(place: str | Path) -> "Folder":
    """Return a folder by its path or URL.

    Raises:
        UserError: there is no driver for that kind of URL.

    Example:
        >>> open_folder("photos").place, open_folder("memory://photos/").place
        ('photos', 'memory://photos')
    """
    if is_url(place):
        return RemoteFolder(str(place))
    return LocalFolder(Path(without_file(str(place))))


class LocalFolder:
    """A folder on this machine, or one that this machine sees as its own.

    Args:
        path: of it; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def place(self) -> str:
        """Its path."""
        return str(self.path)

    def names(self) -> Iterator[str]:
        """Yield the relative names of all files in it and below."""
        for path in self.path.rglob("*"):
            if path.is_file():
                yield path.relative_to(self.path).as_posix()

    def fetch(self, name: str, path: Path) -> None:
        """Copy one of its files to a path."""
        source = self.path / name
        if not source.is_file():
            raise UserError(f"{source}: no such file")
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)

    def send(self, path: Path, name: str) -> None:
        """Copy a file into it."""
        with atomic_path(self.path / name) as temporary:
            shutil.copyfile(path, temporary)


class RemoteFolder:
    """A folder at a URL.

    What fails for a moment is tried again, four times in all.

    Args:
        url: of it; it need not exist yet.

    Raises:
        UserError: there is no driver for that kind of URL.

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
        self.place = f"{kind.lower()}://{rest}"
        _ = self._system

    def __reduce__(self) -> tuple[type["RemoteFolder"], tuple[str]]:
        # Connections stay where they were made.
        return RemoteFolder, (self.place,)

    @cached_property
    def _system(self) -> tuple[Any, str]:
        import fsspec  # noqa: PLC0415 - takes time, and most folders lie here

        kind = self.place.split("://", maxsplit=1)[0]
        try:
            system, root = fsspec.core.url_to_fs(self.place)
        except ImportError as error:
            extra = DRIVERS.get(kind)
            mend = f"pip install 'segdistill[{extra}]'" if extra else str(error)
            raise UserError(f"{self.place}: needs a driver that is not here: {mend}") from error
        except ValueError as error:
            raise UserError(
                f"{self.place}: no URL that can be read; s3://, gs:// and what else fsspec knows"
                f" can ({error})"
            ) from error
        return system, str(root).rstrip("/")

    def names(self) -> Iterator[str]:
        """Yield the relative names of all files in it and below."""
        system, root = self._system
        # Others may have written since.
        system.invalidate_cache()
        for found in self._tried(self.place, lambda: system.find(root)):
            name = str(found)[len(root) :].removeprefix("/")
            # Object stores mark folders by names that end with a slash.
            if name and not name.endswith("/"):
                yield name

    def is_file(self) -> bool:
        """Return whether the URL is that of a file."""
        system, root = self._system
        system.invalidate_cache()
        return bool(self._tried(self.place, lambda: system.isfile(root)))

    def fetch(self, name: str, path: Path) -> None:
        """Copy one of its files to a path on this machine."""
        system, root = self._system
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)

        def read() -> None:
            try:
                system.get_file(f"{root}/{name}", str(path))
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise FullDiskError(f"{path.parent}: the disk is full") from error
                raise

        self._tried(f"{self.place}/{name}", read)

    def send(self, path: Path, name: str) -> None:
        """Copy a file of this machine into it."""
        system, root = self._system
        target = f"{root}/{name}"
        kind = self.place.split("://", maxsplit=1)[0]
        hidden = str(PurePosixPath(target).with_name(f".{PurePosixPath(name).name}.part"))

        def write() -> None:
            if kind not in OBJECT_STORES:
                system.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            if kind in WHOLE_AT_ONCE:
                system.put_file(str(path), target)
            else:
                system.put_file(str(path), hidden)
                _move(system, hidden, target)

        self._tried(f"{self.place}/{name}", write)

    def _tried(self, url: str, work: Callable[[], Result]) -> Result:
        """Do something, again if it fails for a reason that may pass.

        Raises:
            UserError: it failed to the last.
        """
        for attempt in range(ATTEMPTS):
            try:
                return work()
            except FullDiskError:
                raise
            except FINAL as error:
                if isinstance(error, FileNotFoundError):
                    raise UserError(f"{url}: no such file, folder or bucket") from error
                raise UserError(f"{url}: {error}") from error
            except Exception as error:  # drivers fail in ways of their own
                if attempt == ATTEMPTS - 1:
                    raise UserError(
                        f"{url}: cannot be reached ({type(error).__name__}: {error})"
                    ) from error
                logger.info("%s: %s; trying again", url, type(error).__name__)
                time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


def for_workers(folder: Folder) -> Folder:
    """Return a folder as processes with other working folders find it.

    Example:
        >>> for_workers(LocalFolder(Path("photos"))).path.is_absolute()
        True
    """
    return folder if folder.path is None else LocalFolder(folder.path.absolute())


def _move(system: Any, source: str, target: str) -> None:
    from fsspec import AbstractFileSystem  # noqa: PLC0415 - takes time, and most folders lie here

    if type(system).mv is not AbstractFileSystem.mv:
        system.mv(source, target)
        return
    # Its own way takes names for patterns.
    system.cp_file(source, target)
    system.rm_file(source)
