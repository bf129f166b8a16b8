"""Options of figures, and the files that they are written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from segdistill.config.validation import refuse
from segdistill.errors import UserError

FormatName = Literal["png", "svg", "pdf"]
COMPARISON, LEGEND, IOU, TRAINING = NAMES = ("comparison", "legend", "iou", "training")
MAX_IMAGES = 60


@dataclass(frozen=True)
class FigureOptions:
    """Options of figures.

    Attributes:
        columns: number of images side by side.
        rows: number of rows of images.
        show: names of the images to show, in this order, with or without folder and suffix; by
            default ``columns`` times ``rows`` evenly spaced images.
        crf: also show, and score, segments refined by the fully connected CRF.
        formats: file formats: ``png`` (300 dpi), ``svg`` and ``pdf`` (with editable text).
        overwrite: replace existing figures.
    """

    columns: int = 5
    rows: int = 1
    show: tuple[str, ...] = ()
    crf: bool = False
    formats: tuple[FormatName, ...] = ("png", "svg")
    overwrite: bool = False

    def validated(self) -> "FigureOptions":
        """Return the options if they are valid.

        Raises:
            UserError: an option is invalid.

        Example:
            >>> FigureOptions(columns=0).validated()
            Traceback (most recent call last):
            ...
            segdistill.errors.UserError: --columns 0: must be at least 1
        """
        for name, value in (("columns", self.columns), ("rows", self.rows)):
            if value < 1:
                refuse(name, str(value), "at least 1")
        count = len(self.show) or self.columns * self.rows
        if count > MAX_IMAGES:
            raise UserError(f"{count} images in one figure: the maximum is {MAX_IMAGES}")
        for each in self.formats:
            if each not in get_args(FormatName):
                refuse("format", str(each), f"one of {', '.join(get_args(FormatName))}")
        return self


def figure_files(folder: Path) -> list[Path]:
    """Return all files that figures may write to a folder."""
    return [folder / f"{name}.{each}" for name in NAMES for each in get_args(FormatName)]
