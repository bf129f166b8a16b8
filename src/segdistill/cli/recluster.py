"""``segdistill recluster``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.cli.parser import (
    CommandParser,
    command_line,
    common_options,
    compute_choice,
    compute_options,
    flag,
    run_argument,
)
from segdistill.images.finding import find_images

if TYPE_CHECKING:
    from segdistill.api.reclustering import Reclustered

LISTED_CLASSES = 40
LEAST_SHARE = 0.05


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "recluster",
        "Change the number of classes of a run without training again. It needs no images; the"
        " classes that were in use are kept, and come back with their number.",
        "segdistill recluster runs/photos --classes 12",
    )
    run_argument(command)
    command.add_argument("--classes", type=int | None, help="number of kinds of things to find")
    flag(command, "--undo", "take the classes that were in use before")
    command.add_argument(
        "--images", type=str | None, help="folder of images: write report.html anew with them"
    )
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    folder = Path(options.run)
    # Before anything is changed: a wrong path is told at once.
    images = None if options.images is None else find_images(options.images)

    from segdistill.api.reclustering import recluster, renew_report

    changed = recluster(folder, options.classes, undo=options.undo)
    if changed.after == changed.before:
        print(f"Run:    {folder}: has {len(changed.after)} classes already")
    else:
        print(f"Run:    {folder}: {len(changed.after)} classes, {len(changed.before)} before")
        for line in [] if options.quiet else origins(changed):
            print(f"        {line}")
        print(f"Undo:   {command_line('recluster', folder, '--undo')}")
    if images is not None:
        renew_report(folder, images, **compute_choice(options), progress=not options.quiet)
        print(f"Report: {folder / 'report.html'}")
    elif changed.after != changed.before:
        print("Note:   the report, and masks and scores made so far, are of the classes before;")
        print("        --images IMAGES writes the report anew")


def origins(changed: "Reclustered") -> list[str]:
    """Say of each class now which classes before it is made of.

    Args:
        changed: what the change did.

    Returns:
        A line for each class, or none where that is not known or classes are too many.
    """
    if changed.overlap is None or len(changed.after) > LISTED_CLASSES:
        return []
    lines = []
    for each, column in zip(changed.after, changed.overlap.T, strict=True):
        shares = column / max(column.sum(), 1e-12)
        largest = [index for index in (-shares).argsort()[:3] if shares[index] >= LEAST_SHARE]
        parts = [f"{changed.before[index].name} ({shares[index]:.0%})" for index in largest]
        lines.append(f"{each.name} now: {', '.join(parts) or 'a little of many'}")
    return lines
