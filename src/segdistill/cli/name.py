"""``segdistill name``."""

from collections.abc import Sequence

from segdistill.cli.parser import CommandParser, common_options, run_argument
from segdistill.errors import UserError


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "name",
        "Name the classes of a run; later masks, reports and exports bear the names.",
        'segdistill name runs/photos 3=road "5=traffic light"',
    )
    run_argument(command)
    command.add_argument(
        "names", nargs="+", help="NUMBER=NAME; with nothing after = a class is numbered again"
    )
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    names = names_from(options.names)

    from segdistill.api.classes import name_classes
    from segdistill.cli.classes import print_classes

    name_classes(options.run, names)
    print_classes(options.run, quiet=options.quiet)


def names_from(given: Sequence[str]) -> dict[int, str]:
    """Read names of classes as they are written on the command line.

    Args:
        given: such as ``3=road``.

    Raises:
        UserError: one is not so written, or a class is named twice.

    Example:
        >>> names_from(["3=road", "5=a tree"])
        {3: 'road', 5: 'a tree'}
    """
    names: dict[int, str] = {}
    for each in given:
        number, equals, name = each.partition("=")
        if not equals or not number.strip().isdecimal():
            raise UserError(f"{each}: write NUMBER=NAME, such as 3=road")
        if int(number) in names:
            raise UserError(f"class {int(number)} is named twice")
        names[int(number)] = name
    return names
