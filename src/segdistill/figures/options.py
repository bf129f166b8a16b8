"""Options of figures, and the files that they are written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from segdistill.config.validation import refuse
from segdistill.errors import UserError

FormatName = Literal["png", "svg", "pdf"]
COMPARISON, LEGEND, IOU, TRAINING = NAMES = ("comparison", "legend", "iou", "training")
MOST_IMAGES = 60


@dataclass(frozen=True)
class FigureOptions:
    """How to draw figures.

    Attributes:
        columns: images side by side.
        rows: how many such rows of images, one below the other.
        show: names of the images to show, in this order, with or without folder and suffix; by
            default ``columns`` times ``rows`` evenly spaced images.
        crf: also show, and score, segments refined by the fully connected CRF.
        formats: of the files: ``png`` (300 dots per inch), ``svg`` and ``pdf`` (text stays text).
        overwrite: replace existing figures.
    """

    columns: int = 5
    rows: int = 1
    show: tuple[str, ...] = ()
    crf: bool = False
    formats: tuple[FormatName, ...] = ("png", "svg")
    overwrite: bool = False

    def validated(self) -> "FigureOptions":
        """Return the options themselves if all are valid.

        Raises:
            UserError: one is not.

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
        if count > MOST_IMAGES:
            raise UserError(f"{count} images in one figure: at most {MOST_IMAGES} can be seen")
        for each in self.formats:
            if each not in get_args(FormatName):
                refuse("format", str(each), f"one of {', '.join(get_args(FormatName))}")
        return self


def figure_files(folder: Path) -> list[Path]:
    """Return all files that figures may be written to."""
    return [folder / f"{name}.{each}" for name in NAMES for each in get_args(FormatName)]


def check_figures_folder(folder: Path, *, overwrite: bool) -> None:
    """Check, before a model loads, that figures can be written.

    Raises:
        UserError: the folder is a file, or figures exist and ``overwrite`` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file exists where a folder is needed; choose another --out")
    existing = [path for path in figure_files(folder) if path.exists()]
    if existing and not overwrite:
        raise UserError(
            f"{existing[0]}: exists already; add --overwrite to replace the figures, or choose"
            " another --out"
        )
