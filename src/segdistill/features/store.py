"""The feature store: raw feature maps on disk, each kept under what it was made from.

One file a map, in NumPy's format, at ``FOLDER/BACKBONE-FINGERPRINT/ab/abcdef...npy``. The name
tells the image's content, the crop and the size at which the backbone saw it, so the same image
under another name, or in another folder, is found again, and nothing stale ever is.
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

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.files import TEMPORARY_NAME, atomic_path, remove_leftovers

GIGABYTE = 10**9
FREE_DISK_SHARE = 0.8
OWN_FILE = re.compile(r"[^/]+-[0-9a-f]{16}[^/]*/[0-9a-f]{2}/\.?[0-9a-f]{4,32}[^/]*\.npy")


@dataclass(frozen=True)
class StoreContent:
    """What a store holds of one backbone.

    Attributes:
        backbone: name of its folder: short name and fingerprint.
        maps: number of feature maps.
        size: in bytes.
    """

    backbone: str
    maps: int
    size: int


class _File(NamedTuple):
    """A file of the store; plain text for the path, since there may be a million of them."""

    used: float
    path: str
    size: int

    @property
    def is_temporary(self) -> bool:
        """Whether it is being written, or was when its process was killed."""
        return bool(TEMPORARY_NAME.fullmatch(os.path.basename(self.path)))  # noqa: PTH119 - fast


def default_store_folder() -> Path:
    """Return the folder used when none is set.

    It is named by SEGDISTILL_CACHE, or lies in XDG_CACHE_HOME or ``~/.cache``.
    """
    if named := os.environ.get("SEGDISTILL_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "segdistill"


class FeatureStore:
    """A bounded folder of feature maps.

    Args:
        folder: where it lies, or ``None`` for the default; made when first written to.
        max_bytes: bound on the whole store. The maps longest unused go first.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store = FeatureStore(Path(folder), max_bytes=10**6)
        ...     _ = store.write("tiny-0", "abcd", np.zeros((2, 3, 4), np.float16))
        ...     store.read("tiny-0", "abcd").shape
        (2, 3, 4)
    """

    def __init__(self, folder: Path | None, *, max_bytes: int) -> None:
        self.folder = default_store_folder() if folder is None else folder
        self.max_bytes = max_bytes
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder}: the cache must be a folder; set --cache.folder")

    def path(self, backbone: str, key: str) -> Path:
        """Return where a map lies, or would lie."""
        return self.folder / backbone / key[:2] / f"{key}.npy"

    def has(self, backbone: str, key: str) -> bool:
        """Return whether a map is kept."""
        return self.path(backbone, key).exists()

    def read(self, backbone: str, key: str) -> NDArray[np.float16]:
        """Map a kept feature map into memory, without reading it yet.

        Returns:
            Array of shape (height, width, channels), not writable.

        Raises:
            FileNotFoundError: it is not kept.
            ValueError: the file is damaged.
        """
        array: NDArray[np.float16] = np.load(self.path(backbone, key), mmap_mode="r")
        return array

    def write(self, backbone: str, key: str, features: NDArray[np.floating[Any]]) -> bool:
        """Keep a map, if the disk has room for it.

        Args:
            backbone: name of its folder.
            key: hexadecimal digits that tell image, crop and size.
            features: shape (height, width, channels).

        Returns:
            Whether it was kept; a full or forbidden disk is no failure, since the map can be
            computed again.
        """
        try:
            with atomic_path(self.path(backbone, key)) as temporary, temporary.open("wb") as file:
                np.save(file, features)
        except UserError:
            return False
        return True

    def touch(self, backbone: str, key: str) -> bool:
        """Note that a map was used, so that others go before it.

        Returns:
            Whether it is kept.
        """
        try:
            os.utime(self.path(backbone, key))
        except OSError:  # not there, or not ours to change
            return self.has(backbone, key)
        return True

    def room_for_new(self, wanted: int, keep: Container[Path]) -> int:
        """Make room for new maps and return how many bytes may be written.

        Args:
            wanted: bytes to be written.
            keep: files that must stay.

        Returns:
            Bytes free within the bound, at most ``wanted``.
        """
        self._remove_leftovers()
        used = sum(file.size for _, files in self._folders() for file in files)
        limit = self._limit(used)
        used -= self._remove_oldest(used + wanted - limit, keep)
        return max(0, min(wanted, limit - used))

    def _remove_oldest(self, size: int, keep: Container[Path]) -> int:
        """Remove the files longest unused, of so many bytes or a little more; returns how many."""
        if size <= 0:
            return 0
        # The oldest so far, the newest of them first: no list of all files is made.
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
        """List what is kept, a line for each backbone."""
        totals: dict[str, tuple[int, int]] = {}
        for folder, files in self._folders():
            backbone = folder.parent.name
            maps, total = totals.get(backbone, (0, 0))
            whole = sum(not file.is_temporary for file in files)
            totals[backbone] = (maps + whole, total + sum(file.size for file in files))
        return [StoreContent(name, maps, size) for name, (maps, size) in sorted(totals.items())]

    def clear(self) -> int:
        """Remove every map, and nothing else that lies in the folder.

        Returns:
            Bytes freed.
        """
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
        """Yield each folder that holds maps, and the maps in it."""
        for backbone in _sub_folders(self.folder):
            for folder in _sub_folders(backbone):
                if len(folder.name) == 2 and (files := self._files(folder)):
                    yield folder, files

    def _files(self, folder: Path) -> list[_File]:
        found = []
        start = f"{folder.parent.name}/{folder.name}/"
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                # Only files that bear a name of this store: the folder may hold others, too.
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
    except OSError:  # not there yet, removed by another process, or not ours to read
        return []
