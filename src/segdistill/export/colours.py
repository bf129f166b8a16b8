"""Masks as colour pictures, for viewers and programs that read classes by their colour."""

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.export.format import ExportFormat, check_distinct
from segdistill.export.masks import MaskFile
from segdistill.files import atomic_path, write_text_atomically
from segdistill.images.palette import VOID, css_colour


class Colours(ExportFormat):
    """A folder of RGBA PNGs, transparent where there is no class; a table of colours is last."""

    supported_options = frozenset()

    @property
    def sidecar(self) -> Path:
        """The table of colours."""
        return self.path / "colours.csv"

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Check that colours tell the classes apart; write the table of colours."""
        check_distinct(self.classes, colours=True)
        self.palette = np.zeros((VOID + 1, 4), np.uint8)
        self.palette[: len(self.classes)] = [(*each.colour, 255) for each in self.classes]
        yield
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["colour", "name"])
        rows.writerows([css_colour(each.colour), each.name] for each in self.classes)
        write_text_atomically(self.sidecar, text.getvalue())

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> tuple[str, Image.Image]:
        """Return the picture of a mask."""
        return file.stem, Image.fromarray(self.palette[mask])

    def add(self, converted: tuple[str, Image.Image]) -> None:
        """Write the picture."""
        name, picture = converted
        with atomic_path(self.path / f"{name}.png") as temporary:
            picture.save(temporary, format="PNG")
