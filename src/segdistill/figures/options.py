"""What figures are to be like."""

from dataclasses import dataclass
from typing import Literal, get_args

from segdistill.config.validation import refuse
from segdistill.errors import UserError

FormatName = Literal["png", "svg", "pdf"]
MOST_IMAGES = 60


@dataclass(frozen=True)
class FigureOptions:
    """How to draw figures.

    Attributes:
        columns: images side by side.
        rows: how many such rows of images, one below the other.
        show: names of the images to show, in this order, with or without folder and ending; by
            default ``columns`` times ``rows`` images are taken evenly from all.
        crf: also show, and score, segments refined by the fully connected CRF.
        formats: files to write of each figure: ``png`` (300 dots per inch), ``svg`` and ``pdf``
            (text stays text).
        overwrite: replace figures that are there.
    """

    columns: int = 5
    rows: int = 1
    show: tuple[str, ...] = ()
    crf: bool = False
    formats: tuple[FormatName, ...] = ("png", "svg")
    overwrite: bool = False

    def validated(self) -> "FigureOptions":
        """Return itself if all options make sense.

        Raises:
            UserError: one does not.

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
