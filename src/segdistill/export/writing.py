"""What the writers of all formats share."""

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
    """What is to be written.

    Attributes:
        path: the file or folder.
        classes: in the order of the format's own numbers.
        masks: all of them; some may turn out damaged.
        options: how.
    """

    path: Path
    classes: Sequence[SegmentClass]
    masks: Sequence[MaskFile]
    options: ExportOptions


class ReadMask(NamedTuple):
    """A mask that was read.

    Attributes:
        file: where it lies, and its image.
        pixels: places of classes, 255 for none, shape (height, width).
    """

    file: MaskFile
    pixels: NDArray[np.uint8]


class Writer(ABC):
    """Writes masks in a format, one after the other."""

    @abstractmethod
    def convert(self, mask: ReadMask) -> Any:
        """Compute what is to be written for a mask; called in threads.

        Raises:
            UserError: this mask cannot be exported.
        """

    @abstractmethod
    def add(self, converted: Any) -> None:
        """Write what was computed for a mask; called in the order of the masks."""

    def skip(self, file: MaskFile) -> None:  # noqa: B027 - most formats have nothing to do here
        """Take note that a mask is not exported."""


class TextItems:
    """Items of a JSON list, written one by one.

    Args:
        file: to write to, just after the list's opening bracket.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.count = 0

    def add(self, text: str) -> None:
        """Write an item.

        Args:
            text: as JSON.
        """
        self.file.write(f"{',' if self.count else ''}\n{text}")
        self.count += 1


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Yield a text file to write to; it appears at its place if the block succeeds."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def place_image(image: ImageFile, path: Path, *, copy: bool) -> None:
    """Put an image into a folder: as a link to it, or as a copy.

    Raises:
        UserError: it cannot be put there.
    """
    if path.exists() and path.samefile(image.path):
        return
    if copy:
        with atomic_path(path) as temporary:
            shutil.copyfile(image.path, temporary)
        return
    beside = path.with_name(f".{path.name[:40]}-{os.getpid()}.part")
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.symlink_to(image.path.absolute())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(
            f"{path}: cannot be made a link ({error.strerror}); add --copy-images"
        ) from error
