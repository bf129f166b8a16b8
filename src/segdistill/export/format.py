"""What all export formats share."""

import contextlib
import filecmp
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.export.masks import MaskFile
from segdistill.export.options import ExportOptions
from segdistill.files import atomic_path, translate_os_errors
from segdistill.images.palette import Colour, css_colour
from segdistill.model.description import SegmentClass


@dataclass
class ExportFormat(ABC):
    """An export format: writes masks to a file or folder, one by one.

    Attributes:
        path: the output file or folder.
        classes: exported classes, in the order of their exported indices.
        masks: all masks; some may be damaged.
        options: export options.
        supported_options: format-specific options that the format supports.
        suffixes: allowed file suffixes, the default first; empty for a folder.
        needs_images: whether the format needs the images.
        images_folder: sub-folder for the images, in which they may lie already.
    """

    path: Path
    classes: Sequence[SegmentClass]
    masks: Sequence[MaskFile]
    options: ExportOptions

    supported_options: ClassVar[frozenset[str]]
    suffixes: ClassVar[tuple[str, ...]] = ()
    needs_images: ClassVar[bool] = False
    images_folder: ClassVar[str] = ""

    @property
    def sidecar(self) -> Path | None:
        """The sidecar file, which marks an existing export."""
        return None

    @abstractmethod
    def open(self) -> AbstractContextManager[None]:
        """Open the output; what follows the masks is written if the block succeeds.

        Raises:
            UserError: the format does not support the classes, or the output cannot be written.
        """

    @abstractmethod
    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> Any:
        """Convert a mask of exported class indices, 255 for none; called in worker threads.

        Raises:
            UserError: the mask cannot be exported.
        """

    @abstractmethod
    def add(self, converted: Any) -> None:
        """Write a converted mask; called in the order of the masks."""

    def skip(self, file: MaskFile) -> None:  # noqa: B027 - most formats have nothing to do here
        """Handle a mask that is skipped."""


class JsonListWriter:
    """Writes a JSON list item by item, after its opening bracket."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.count = 0

    def add(self, text: str) -> None:
        """Write an item, given as JSON."""
        self.file.write(f"{',' if self.count else ''}\n{text}")
        self.count += 1


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Yield a text file to write to; it is moved to its path if the block succeeds."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def link_or_copy_image(file: MaskFile, stem: Path, *, copy: bool) -> None:
    """Link or copy the image of a mask, if it is known, to a path given without its suffix.

    Raises:
        UserError: the link or copy cannot be created, or another image has its name.
    """
    if file.image is None:
        return
    image = file.image.path
    path = stem.with_name(stem.name + image.suffix)
    if path.exists() and path.samefile(image):
        return
    if path.is_file() and not path.is_symlink() and not filecmp.cmp(path, image, shallow=False):
        raise UserError(
            f"{path}: not the same image as {image}, so it is not replaced; move it, or choose"
            " another --out"
        )
    if copy:
        with atomic_path(path) as temporary:
            shutil.copyfile(image, temporary)
        return
    partial = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}.part{path.suffix}")
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.symlink_to(image.absolute())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"{path}: cannot create a symbolic link ({error.strerror}); add --copy-images"
        ) from error


def check_distinct(classes: Sequence[SegmentClass], *, colours: bool = False) -> None:
    """Check that class names, and optionally colours, are unique, as some formats require.

    Raises:
        UserError: two classes share a name or a colour.

    Example:
        >>> check_distinct([SegmentClass(0, "road", (9, 9, 9)), SegmentClass(1, "road", (8, 8, 8))])
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: classes 0 and 1 are both named 'road'; rename one of them
    """
    names: dict[str, int] = {}
    shades: dict[Colour, int] = {}
    for each in classes:
        other = names.setdefault(each.name, each.index)
        if other != each.index:
            raise UserError(
                f"classes {other} and {each.index} are both named {each.name!r}; rename one of them"
            )
        other = shades.setdefault(each.colour, each.index)
        if colours and other != each.index:
            raise UserError(
                f"classes {other} and {each.index} have the same colour {css_colour(each.colour)};"
                " this format needs distinct colours, so change one of them"
            )
