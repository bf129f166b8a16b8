"""``segdistill classes``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, command_line, common_options, flag, run_argument
from segdistill.errors import UserError

CHANGES = ("merge", "hide", "show", "undo", "redo")


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "classes",
        "List the classes of a run; merge some, hide some, undo and redo such changes, names and"
        " changes of their number. Later masks, reports and exports follow.",
        "segdistill classes runs/photos --merge 2 5",
    )
    run_argument(command)
    for name, meaning in (
        ("--merge", "make one class of these; those behind it move up"),
        ("--hide", "leave these out of overlays and exports; masks hold them all the same"),
        ("--show", "show these again"),
    ):
        command.add_argument(name, type=int, nargs="+", metavar="N", help=meaning)
    flag(command, "--undo", "take back the last change")
    flag(command, "--redo", "make the change again that was taken back last")
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    wanted = [name for name in CHANGES if options[name]]
    if len(wanted) > 1:
        raise UserError(f"{' and '.join(f'--{name}' for name in wanted)}: one at a time")

    from segdistill.api import classes

    if options.merge:
        classes.merge_classes(options.run, options.merge)
    elif options.hide or options.show:
        classes.hide_classes(options.run, options.hide or options.show, hide=bool(options.hide))
    elif options.undo:
        classes.undo_classes(options.run)
    elif options.redo:
        classes.redo_classes(options.run)
    print_classes(options.run, quiet=bool(wanted) and options.quiet)
    if wanted and not (options.undo or options.quiet):
        print(f"Undo:   {command_line('classes', Path(options.run), '--undo')}")


def print_classes(run: str | Path, *, quiet: bool = False) -> None:
    """Print a line for each class of a run: index, name, share of the training codes.

    Args:
        run: a run folder.
        quiet: print nothing.
    """
    if quiet:
        return
    from segdistill.api.classes import class_shares, classes_of

    classes, shares = classes_of(run), class_shares(run)
    print(f"Run:    {run}: {len(classes)} classes")
    width = max(len(each.name) for each in classes)
    for each in classes:
        share = "" if shares is None else f"{shares[each.index]:6.1%}"
        notes = [
            *([f"clusters {', '.join(map(str, each.members))}"] if len(each.members) > 1 else []),
            *(["hidden"] if each.hidden else []),
        ]
        said = f"  ({'; '.join(notes)})" if notes else ""
        print(f"  {each.index:3}  {each.name:<{width}}  {share}{said}".rstrip())
