"""``segdistill classes``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, command_line, flag, parse_options, run_argument
from segdistill.errors import UserError

CHANGES = ("merge", "hide", "show", "undo", "redo")


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "classes",
        "List the classes of a run; merge or hide some; undo and redo such changes, new names and"
        " changes of the number of classes. Later masks, reports and exports use the new classes.",
        "segdistill classes runs/photos --merge 2 5",
    )
    run_argument(command)
    for name, meaning in (
        ("--merge", "merge these classes into one; later classes are renumbered"),
        ("--hide", "leave these classes out of overlays and exports; masks keep them"),
        ("--show", "show these classes again"),
    ):
        command.add_argument(
            name, type=int, nargs="+", metavar="N", help=f"{meaning} (default: none)"
        )
    flag(command, "--propose", "list pairs of classes that are likely to be the same, to merge")
    flag(command, "--undo", "undo the last change")
    flag(command, "--redo", "redo the last change that was undone")
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    wanted = [name for name in CHANGES if options[name]]
    if len(wanted) > 1:
        raise UserError(f"{' and '.join(f'--{name}' for name in wanted)}: give only one of them")

    from segdistill.api import classes

    if options.propose:
        print_proposals(options.run)
        return
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


def print_proposals(run: str | Path) -> None:
    """Print the pairs of classes that are likely to be the same.

    Args:
        run: a run folder.
    """
    from segdistill.api.classes import classes_of, proposed_merges
    from segdistill.report.text import merge_reason

    classes, proposals = classes_of(run), proposed_merges(run)
    if not proposals:
        print(f"Run:    {run}: no pairs to propose")
        return
    print(f"Run:    {run}: pairs of classes that are likely to be the same, the likeliest first")
    for each in proposals:
        first, second = (classes[index] for index in each.classes)
        print(
            f"  {first.index} {first.name} and {second.index} {second.name}: {merge_reason(each)}"
        )
    print(f"Merge:  {command_line('classes', Path(run), '--merge', *proposals[0].classes)}")


def print_classes(run: str | Path, *, quiet: bool = False) -> None:
    """Print a line per class of a run: index, name, share of the training codes.

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
            *([f"{len(each.members)} clusters"] if len(each.members) > 1 else []),
            *(["hidden"] if each.hidden else []),
        ]
        note = f"  ({'; '.join(notes)})" if notes else ""
        print(f"  {each.index:3}  {each.name:<{width}}  {share}{note}".rstrip())
