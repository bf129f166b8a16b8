"""``segdistill figures``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import (
    RUN,
    CommandParser,
    backbone_option,
    compute_choice,
    compute_options,
    flag,
    parse_options,
    run_argument,
)
from segdistill.figures.options import FigureOptions, FormatName
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "figures",
        "Draw figures for a paper: images above labels, k-means and segments, a legend, IoU per"
        " class, training curves.",
        "segdistill figures runs/photos --images val/imgs --labels val/labels",
    )
    defaults = FigureOptions()
    run_argument(command)
    command.add_argument(
        "--images",
        nargs="+",
        type=str,
        metavar="PATH",
        help="images to show and to score (default: those of the fit)",
    )
    command.add_argument(
        "--labels",
        type=str,
        metavar="FOLDER",
        help="folder of class-index PNGs with the images' names; 255 means 'not labelled'"
        " (default: no labels, no IoU)",
    )
    command.add_argument(
        "--kmeans",
        type=str,
        metavar=RUN,
        help="run to compare with (default: k-means on the backbone's features of --images)",
    )
    command.add_argument(
        "--columns", type=int, default=defaults.columns, help="number of images side by side"
    )
    command.add_argument("--rows", type=int, default=defaults.rows, help="number of rows of images")
    command.add_argument(
        "--show",
        nargs="+",
        type=str,
        metavar="NAME",
        help="images of --images to show (default: evenly spaced ones)",
    )
    flag(command, "--crf", "also show segments refined by the fully connected CRF")
    command.add_argument(
        "--out", type=str, metavar="FOLDER", help="folder for the figures (default: figures/NAME)"
    )
    command.add_argument(
        "--format",
        nargs="+",
        type=FormatName,
        default=list(defaults.formats),
        help="file formats, one or several",
    )
    flag(command, "--overwrite", "replace existing figures")
    backbone_option(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
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
