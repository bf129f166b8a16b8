"""``segdistill recluster``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.cli.parser import (
    CommandParser,
    backbone_option,
    command_line,
    compute_choice,
    compute_options,
    flag,
    parse_options,
    run_argument,
)
from segdistill.config.settings import LevelName
from segdistill.images.finding import find_images

if TYPE_CHECKING:
    from segdistill.api.reclustering import Reclustered
    from segdistill.model.description import SegmentClass

LISTED_CLASSES = 40
LEAST_SHARE = 0.05


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "recluster",
        "Change the level or the number of classes of a run without training again. It needs no"
        " images. The former classes are kept; --undo, or their level or number, restores them.",
        "segdistill recluster runs/photos --level fine",
    )
    run_argument(command)
    command.add_argument(
        "--level",
        type=LevelName | None,
        help="level of the nested classes that the fit found: coarse, medium (the initial one) or"
        " fine (many small classes, to name and merge) (default: --classes or --undo is used)",
    )
    command.add_argument(
        "--classes",
        type=int | None,
        help="new number of classes (default: --level or --undo is used)",
    )
    flag(command, "--undo", "restore the former classes")
    command.add_argument(
        "--images",
        type=str | None,
        metavar="PATH",
        help="images to write report.html again with (default: the report is not updated)",
    )
    backbone_option(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    folder = Path(options.run)
    # Before anything is changed: a wrong path is reported at once.
    images = None if options.images is None else find_images(options.images)

    from segdistill.api.reclustering import recluster, rewrite_report

    changed = recluster(folder, options.classes, level=options.level, undo=options.undo)
    if changed.levels and not options.quiet:
        counts = ", ".join(f"{level} {count}" for level, count in changed.levels.items())
        print(f"Levels: {counts}")
    if changed.after == changed.before:
        print(f"Run:    {folder}: has {len(changed.after)} classes already")
    else:
        print(f"Run:    {folder}: {len(changed.after)} classes, formerly {len(changed.before)}")
        for line in [] if options.quiet else origins(changed):
            print(f"        {line}")
        print(f"Undo:   {command_line('recluster', folder, '--undo')}")
    if images is not None:
        rewrite_report(folder, images, **compute_choice(options), progress=not options.quiet)
        print(f"Report: {folder / 'report.html'}")
    elif changed.after != changed.before:
        print("Note:   the report and existing masks and scores still show the old classes;")
        print("        --images IMAGES updates the report")


def origins(changed: "Reclustered") -> list[str]:
    """Return a table of the old classes that each new class consists of.

    Args:
        changed: the result of the change.

    Returns:
        A header and a line per new class; empty if the overlap is unknown or there are too many
        classes.
    """
    if changed.overlap is None or len(changed.after) > LISTED_CLASSES:
        return []
    lines = ["New class <- old classes (share of the new class's training codes)"]
    width = max(len(_label(each)) for each in changed.after)
    for each, column in zip(changed.after, changed.overlap.T, strict=True):
        shares = column / max(column.sum(), 1e-12)
        largest = [index for index in (-shares).argsort()[:3] if shares[index] >= LEAST_SHARE]
        parts = [f"{_label(changed.before[index])} ({shares[index]:.0%})" for index in largest]
        lines.append(f"{_label(each):<{width}}  <-  {', '.join(parts) or 'small parts of many'}")
    return lines


def _label(each: "SegmentClass") -> str:
    """Return a class's index, and its name if it has one."""
    return f"{each.index} {each.name}" if each.is_named else str(each.index)
