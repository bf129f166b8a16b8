"""``segdistill figures``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import (
    CommandParser,
    common_options,
    compute_choice,
    compute_options,
    flag,
    run_argument,
)
from segdistill.figures.options import FigureOptions, FormatName
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "figures",
        "Draw figures for a paper: images above labels, k-means and segments, a legend, IoU by"
        " class, training curves.",
        "segdistill figures runs/photos --images val/imgs --labels val/labels",
    )
    defaults = FigureOptions()
    run_argument(command)
    command.add_argument(
        "--images", nargs="+", type=str, help="to show and to score (default: those of the fit)"
    )
    command.add_argument(
        "--labels",
        type=str,
        help="folder of class-index PNGs of the same names; 255 means 'not labelled'",
    )
    command.add_argument(
        "--kmeans",
        type=str,
        metavar="RUN",
        help="a run to compare with (default: the backbone's features are clustered, on --images)",
    )
    command.add_argument(
        "--columns", type=int, default=defaults.columns, help="images side by side"
    )
    command.add_argument(
        "--rows", type=int, default=defaults.rows, help="rows of images, one below the other"
    )
    command.add_argument(
        "--show",
        nargs="+",
        type=str,
        metavar="NAME",
        help="images to show, of those in --images (default: taken evenly)",
    )
    flag(command, "--crf", "also show segments refined by the fully connected CRF")
    command.add_argument("--out", type=str, help="folder for the figures (default: figures/NAME)")
    command.add_argument(
        "--format",
        nargs="+",
        type=FormatName,
        default=list(defaults.formats),
        help="of the files, one or several",
    )
    flag(command, "--overwrite", "replace figures that are there")
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    # Before the library is imported, which takes seconds: a wrong path is told at once.
    for source in (*(options.images or []), *([options.labels] if options.labels else [])):
        check_exists(source)
    out = Path(options.out or Path("figures") / Path(options.run).resolve().name)

    from segdistill.api import draw_figures

    written = draw_figures(
        options.run,
        out,
        images=options.images,
        labels=options.labels,
        kmeans=options.kmeans,
        options=FigureOptions(
            columns=options.columns,
            rows=options.rows,
            show=tuple(options.show or ()),
            crf=options.crf,
            formats=tuple(dict.fromkeys(options.format)),
            overwrite=options.overwrite,
        ),
        **compute_choice(options),
        progress=not options.quiet,
    )
    for path in written:
        print(f"Figure: {path}")
