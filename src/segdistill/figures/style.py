"""Shared style of the figures, and writing them to files and pages."""

import contextlib
import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segdistill.figures.options import FormatName
from segdistill.files import atomic_path
from segdistill.images.palette import Colour

TEXT_WIDTH = 6.875
"""Text width of a two-column page in inches, as at CVPR."""

COLUMN_WIDTH = 3.25
"""Width of one column in inches."""

DOTS_PER_INCH = 300
SMALL = 6.5
LABEL_INCHES = 0.38
"""Distance of the label of a vertical axis."""

INK = "#222222"
RULE = "#b0b0b0"
GRID = "#e4e4e4"
LONGEST_NAME = 28

BLACK, GREY = "#000000", "#707070"
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, ORANGE, SKY_BLUE = "#cc79a7", "#e69f00", "#56b4e9"
"""The colour-blind safe palette of Okabe and Ito (2008)."""

SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE)

PAGE_COLOURS = {
    INK: "var(--quiet)",
    GRID: "var(--line)",
    GREY: "var(--quiet)",
    **{colour: f"var(--line-{number})" for number, colour in enumerate(SERIES)},
}
"""Variables of the pages' style sheet, which differ between the light and the dark theme."""

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
    # Keeps files of long histories small, without visible loss.
    "path.simplify_threshold": 0.3,
}

# Without dates, for reproducible files.
METADATA: dict[FormatName, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
NO_METADATA = dict.fromkeys(["Creator", "Date", "Format", "Type"])


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


def add_axes(
    figure: Figure,
    place: tuple[float, float, float, float],
    *,
    x_label: str,
    y_label: str = "",
) -> Axes:
    """Add axes with round ticks, whole horizontal ones, and thin horizontal lines.

    Args:
        place: left, bottom, width and height in inches.
    """
    left, bottom, width, height = place
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set_xlabel(x_label, labelpad=2)
    axes.set_ylabel(y_label)
    # The same distance in all panels, regardless of the width of the tick labels.
    axes.yaxis.set_label_coords(-LABEL_INCHES / width, 0.5)
    axes.margins(x=0)
    steps = [1, 2, 2.5, 5, 10]
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=steps))
    light_grid(axes, "y")
    return axes


def light_grid(axes: Axes, direction: str) -> None:
    """Draw thin grid lines at the ticks of ``x`` or ``y``, behind everything else."""
    axes.grid(axis=direction, color=GRID, linewidth=0.4)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def write_figure(
    figure: Figure, folder: Path, name: str, formats: Sequence[FormatName], **options: Any
) -> list[Path]:
    """Write a figure in several formats, within :func:`paper_style`.

    Args:
        **options: of :meth:`matplotlib.figure.Figure.savefig`.

    Returns:
        The written files.

    Raises:
        UserError: a file cannot be written.
    """
    paths = []
    for each in formats:
        path = folder / f"{name}.{each}"
        with atomic_path(path) as temporary:
            figure.savefig(
                temporary,
                **{"format": each, "dpi": DOTS_PER_INCH, "metadata": METADATA[each], **options},
            )
        paths.append(path)
    return paths


def inline_svg(figure: Figure, identity: str, description: str) -> str:
    """Return a figure as an SVG element for an HTML page, within :func:`paper_style`.

    It scales with the page, uses its font and its colours, and fits both themes.

    Args:
        identity: prefix that makes the element's identifiers unique in the page.
        description: for readers who do not see it.

    Example:
        >>> with paper_style():
        ...     svg = inline_svg(new_figure(1, 1), "empty", "Nothing & more")
        >>> svg.splitlines()[0]
        '<svg class="chart" role="img" aria-label="Nothing &amp; more" viewBox="0 0 72 72">'
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    _, _, svg = buffer.getvalue().partition("<svg ")
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None  # noqa: S101
    _, _, content = svg.partition(">")
    content = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", content, count=1, flags=re.DOTALL)
    content = re.sub(r"('[^;\"]*', )+sans-serif", "system-ui, sans-serif", content)
    content = re.sub("|".join(PAGE_COLOURS), lambda found: PAGE_COLOURS[found[0]], content)
    content = re.sub(r'( id="|url\(#|href="#)', rf"\1{identity}-", content)
    label = html.escape(description)
    return f'<svg class="chart" role="img" aria-label="{label}" {view[0]}>{content}'


def mpl_colour(colour: Colour) -> tuple[float, float, float]:
    """Return a colour from 0..255 as matplotlib takes it."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def short_name(name: str) -> str:
    """Shorten a name to fit into a figure.

    Example:
        >>> short_name("a" * 40) == "a" * 27 + "…"
        True
    """
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
