"""Shared style of the figures, and writing them to files."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segdistill.figures.options import FormatName
from segdistill.files import atomic_path

TEXT_WIDTH = 6.875
"""Text width of a two-column page in inches, as at CVPR."""

COLUMN_WIDTH = 3.25
"""Width of one column in inches."""

DOTS_PER_INCH = 300
SMALL = 6.5
INK = "#222222"
RULE = "#b0b0b0"
MAX_NAME_LENGTH = 28

BLACK, ORANGE, SKY_BLUE, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
"""The colour-blind safe palette of Okabe and Ito (2008)."""

STYLE: dict[str, Any] = {
    # SVG viewers use the first available font; matplotlib ships the last one.
    "font.family": ["sans-serif"],
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans"],
    "font.size": 7.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    # Keep text as text, for searching and editing.
    "svg.fonttype": "none",
    "svg.hashsalt": "segdistill",
    "pdf.fonttype": 42,
}

# Without dates, for reproducible files.
METADATA: dict[FormatName, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@contextlib.contextmanager
def paper_style() -> Iterator[None]:
    """Apply the figure style; matplotlib's settings are restored afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams
        settings.update(STYLE)
        # Missing glyphs are drawn as boxes in PNG; SVG keeps the text.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, without pyplot's global state."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def light_grid(axes: Axes, direction: str) -> None:
    """Draw thin grid lines at the ticks of ``x`` or ``y``, behind everything else."""
    axes.grid(axis=direction, color="#e4e4e4", linewidth=0.4)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def write_figure(
    figure: Figure, folder: Path, name: str, formats: Sequence[FormatName]
) -> list[Path]:
    """Write a figure in several formats, within :func:`paper_style`.

    Args:
        figure: the figure.
        folder: output folder.
        name: file name without suffix.
        formats: file formats.

    Returns:
        The written files.

    Raises:
        UserError: a file cannot be written.
    """
    paths = []
    for each in formats:
        path = folder / f"{name}.{each}"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=each, dpi=DOTS_PER_INCH, metadata=METADATA[each])
        paths.append(path)
    return paths


def short_name(name: str) -> str:
    """Shorten a name to fit into a figure.

    Example:
        >>> short_name("a" * 40) == "a" * 27 + "…"
        True
    """
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"
