"""Where figures go, and making sure that they replace nothing unasked."""

from pathlib import Path
from typing import get_args

from segdistill.errors import UserError
from segdistill.figures.options import FormatName

COMPARISON, LEGEND, IOU, TRAINING = NAMES = ("comparison", "legend", "iou", "training")


def figure_files(folder: Path) -> list[Path]:
    """Return all files that figures may be written to."""
    return [folder / f"{name}.{each}" for name in NAMES for each in get_args(FormatName)]


def check_figures_folder(folder: Path, *, overwrite: bool) -> None:
    """Check, before a model loads, that figures can be written.

    Raises:
        UserError: a file exists where the folder should be, or figures are there and ``overwrite``
            is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file exists where a folder is needed; choose another --out")
    there = [path for path in figure_files(folder) if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]}: exists already; add --overwrite to replace the figures, or choose"
            " another --out"
        )
