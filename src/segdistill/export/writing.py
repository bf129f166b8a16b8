"""Shared code of the format writers."""

import contextlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.export.masks import MaskFile
from segdistill.export.options import ExportOptions
from segdistill.files import atomic_path, translate_os_errors
from segdistill.images.finding import ImageFile
from segdistill.model.description import SegmentClass


@dataclass(frozen=True)
class Target:
    """The target of an export.

    Attributes:
        path: the output file or folder.
        classes: exported classes, in the order of their exported indices.
        masks: all masks; some may be damaged.
        options: export options.
    """

    path: Path
    classes: Sequence[SegmentClass]
    masks: Sequence[MaskFile]
    options: ExportOptions


class LoadedMask(NamedTuple):
    """A decoded mask.

    Attributes:
        file: the mask file and its image.
        pixels: exported class indices, 255 for none, shape (height, width).
    """

    file: MaskFile
    pixels: NDArray[np.uint8]


class Writer(ABC):
    """Writes masks in one format, one by one."""

    @abstractmethod
    def convert(self, mask: LoadedMask) -> Any:
        """Convert a mask; called in worker threads.

        Raises:
            UserError: the mask cannot be exported.
        """

    @abstractmethod
    def add(self, converted: Any) -> None:
        """Write a converted mask; called in the order of the masks."""

    def skip(self, file: MaskFile) -> None:  # noqa: B027 - most formats have nothing to do here
        """Handle a mask that is skipped."""


class JsonListWriter:
    """Writes a JSON list item by item.

    Args:
        file: text file, positioned after the opening bracket of the list.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.count = 0

    def add(self, text: str) -> None:
        """Write an item.

        Args:
            text: the item as JSON.
        """
        self.file.write(f"{',' if self.count else ''}\n{text}")
        self.count += 1


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Yield a text file to write to; it is moved to its path if the block succeeds."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def link_or_copy_image(image: ImageFile, path: Path, *, copy: bool) -> None:
    """Link or copy an image to a path.

    Raises:
        UserError: the link or copy cannot be created.
    """
    if path.exists() and path.samefile(image.path):
        return
    if copy:
        with atomic_path(path) as temporary:
            shutil.copyfile(image.path, temporary)
        return
    partial = path.with_name(f".{path.name[:40]}-{os.getpid()}.part")
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.symlink_to(image.path.absolute())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"{path}: cannot create a symbolic link ({error.strerror}); add --copy-images"
        ) from error
