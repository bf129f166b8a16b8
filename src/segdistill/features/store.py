"""The feature store: a content-addressed disk cache of raw feature maps.

Each map is a NumPy file at ``FOLDER/BACKBONE-FINGERPRINT/ab/abcdef...npy``. The name is a hash of
the image content, crop and input size, so renamed and moved images are found, and stale maps are
never used. A checksum at the end of each file tells damaged maps, which are never used either.
"""

import contextlib
import heapq
import os
import re
import shutil
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.features.entry import DamagedEntryError, EntryKind, read_entry, write_entry
from segdistill.files import TEMPORARY_NAME, atomic_path, remove_leftovers

GIGABYTE = 10**9
FREE_DISK_SHARE = 0.8
OWN_FILE = re.compile(r"[^/]+-[0-9a-f]{16}[^/]*/[0-9a-f]{2}/\.?[0-9a-f]{4,32}[^/]*\.npy")


@dataclass(frozen=True)
class StoreContent:
    """Store content of one backbone.

    Attributes:
        backbone: folder name: short name and fingerprint.
        maps: number of feature maps.
        size: size in bytes.
    """

    backbone: str
    maps: int
    size: int


class _File(NamedTuple):
    """A file of the store; the path is a string to save memory, with up to a million files."""

    used: float
    path: str
    size: int

    @property
    def is_temporary(self) -> bool:
        """Whether the file is unfinished: still being written, or left by a killed process."""
        return bool(TEMPORARY_NAME.fullmatch(os.path.basename(self.path)))  # noqa: PTH119 - fast


def default_store_folder() -> Path:
    """Return SEGDISTILL_CACHE if set, else ``segdistill`` in XDG_CACHE_HOME or ``~/.cache``."""
    if named := os.environ.get("SEGDISTILL_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "segdistill"


class FeatureStore:
    """A folder of feature maps with a size limit.

    Args:
        folder: folder of the store, or ``None`` for the default; created on the first write.
        max_bytes: size limit; least recently used maps are evicted first.

    Attributes:
        damaged: keys of the maps that were found damaged.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store = FeatureStore(Path(folder), max_bytes=10**6)
        ...     _ = store.write("tiny-0", "abcd", np.zeros((2, 3, 4), np.float16))
        ...     store.read("tiny-0", EntryKind("abcd", (2, 3, 4))).shape
        (2, 3, 4)
    """

    def __init__(self, folder: Path | None, *, max_bytes: int) -> None:
        self.folder = default_store_folder() if folder is None else folder
        self.max_bytes = max_bytes
        self.damaged: set[str] = set()
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder}: the cache is not a folder; set --cache.folder")

    def path(self, backbone: str, key: str) -> Path:
        """Return the path of a map, which may not exist."""
        return self.folder / backbone / key[:2] / f"{key}.npy"

    def has(self, backbone: str, key: str) -> bool:
        """Return whether a map is stored, without reading it."""
        return self.path(backbone, key).is_file()

    def read(self, backbone: str, kind: EntryKind, *, check: bool = True) -> NDArray[Any] | None:
        """Memory-map a stored map.

        Args:
            backbone: folder name of the backbone.
            kind: key, shape and type of the map.
            check: compare the values with their checksum, which reads them all; without, only the
                size, shape and type are checked. Once a fit is enough.

        Returns:
            Read-only array; ``None`` if the map is not stored, or is damaged, which ``damaged``
            records.
        """
        try:
            return read_entry(self.path(backbone, kind.key), kind, check=check)
        except DamagedEntryError:
            self.damaged.add(kind.key)
        except OSError:  # missing, removed by another process, or no permission
            pass
        return None

    def write(self, backbone: str, key: str, values: NDArray[Any]) -> bool:
        """Store a map if the disk has room for it; return whether it was stored.

        A full or read-only disk is not an error, since the map can be computed again.

        Args:
            backbone: folder name of the backbone.
            key: hexadecimal key of the view.
            values: feature map, shape (height, width, channels).
        """
        try:
            with atomic_path(self.path(backbone, key)) as temporary:
                write_entry(temporary, key, values)
        except UserError:
            return False
        return True

    def touch(self, backbone: str, key: str) -> bool:
        """Mark a map as recently used; return whether it is stored."""
        with contextlib.suppress(OSError):  # missing, or no permission
            os.utime(self.path(backbone, key))
        return self.has(backbone, key)

    def make_room(self, wanted: int, keep: Container[Path]) -> int:
        """Evict old maps to make room, and return the number of bytes that may be written.

        Args:
            wanted: number of bytes to write; no more are returned.
            keep: files that must not be evicted.
        """
        self._remove_leftovers()
        used = sum(file.size for _, files in self._folders() for file in files)
        limit = self._limit(used)
        used -= self._remove_oldest(used + wanted - limit, keep)
        return max(0, min(wanted, limit - used))

    def _remove_oldest(self, size: int, keep: Container[Path]) -> int:
        """Remove least recently used files of at least ``size`` bytes; return the bytes freed."""
        if size <= 0:
            return 0
        # Heap of the oldest files, newest first, to avoid a list of all files.
        oldest: list[_File] = []
        held = 0
        for _, files in self._folders():
            for file in files:
                enough = held >= size and -file.used <= oldest[0].used
                if enough or Path(file.path) in keep:
                    continue
                heapq.heappush(oldest, file._replace(used=-file.used))
                held += file.size
                while held - oldest[0].size >= size:
                    held -= heapq.heappop(oldest).size
        for file in oldest:
            Path(file.path).unlink(missing_ok=True)
        return held

    def _remove_leftovers(self) -> None:
        for folder, files in self._folders():
            if any(file.is_temporary for file in files):
                remove_leftovers(folder)

    def contents(self) -> list[StoreContent]:
        """List the content of the store by backbone."""
        totals: dict[str, tuple[int, int]] = {}
        for folder, files in self._folders():
            backbone = folder.parent.name
            maps, total = totals.get(backbone, (0, 0))
            whole = sum(not file.is_temporary for file in files)
            totals[backbone] = (maps + whole, total + sum(file.size for file in files))
        return [StoreContent(name, maps, size) for name, (maps, size) in sorted(totals.items())]

    def clear(self) -> int:
        """Remove all maps, and no other files; return the number of bytes freed."""
        freed = 0
        for folder, files in self._folders():
            for file in files:
                Path(file.path).unlink(missing_ok=True)
                freed += file.size
            for empty in (folder, folder.parent):
                if empty.is_dir() and not any(empty.iterdir()):
                    empty.rmdir()
        return freed

    def _folders(self) -> Iterator[tuple[Path, list[_File]]]:
        """Yield each folder that contains maps, with its maps."""
        for backbone in _sub_folders(self.folder):
            for folder in _sub_folders(backbone):
                if len(folder.name) == 2 and (files := self._files(folder)):
                    yield folder, files

    def _files(self, folder: Path) -> list[_File]:
        found = []
        start = f"{folder.parent.name}/{folder.name}/"
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                # The folder may contain other files.
                if not OWN_FILE.fullmatch(start + entry.name):
                    continue
                with contextlib.suppress(FileNotFoundError):  # another process may have removed it
                    status = entry.stat()
                    found.append(_File(status.st_mtime, entry.path, status.st_size))
        return found

    def _limit(self, used: int) -> int:
        existing = self.folder
        while not existing.exists():
            existing = existing.parent
        free = shutil.disk_usage(existing).free
        return min(self.max_bytes, used + int(free * FREE_DISK_SHARE))


def _sub_folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:  # missing, removed by another process, or no permission
        return []
