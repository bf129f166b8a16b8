"""Output files of figures, with checks against accidental overwriting."""

from pathlib import Path
from typing import get_args

from segdistill.errors import UserError
from segdistill.figures.options import FormatName

COMPARISON, LEGEND, IOU, TRAINING = NAMES = ("comparison", "legend", "iou", "training")


def figure_files(folder: Path) -> list[Path]:
    """Return all files that figures may write to a folder."""
    return [folder / f"{name}.{each}" for name in NAMES for each in get_args(FormatName)]


def check_figures_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that figures can be written, before a model is loaded.

    Raises:
        UserError: the path is a file, or contains figures and ``overwrite`` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, not a folder; choose another --out")
    there = [path for path in figure_files(folder) if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]}: already exists; add --overwrite to replace the figures, or choose"
            " another --out"
        )
