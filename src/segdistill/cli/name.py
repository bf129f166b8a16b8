"""``segdistill name``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from segdistill.cli.parser import (
    CommandParser,
    command_line,
    common_options,
    compute_choice,
    compute_options,
    flag,
    run_argument,
)
from segdistill.errors import UserError
from segdistill.images.finding import check_exists

if TYPE_CHECKING:
    from segdistill.naming.suggestions import NameSuggestion

ONLY_WITH_SUGGEST = ("model", "images", "top", "unique", "apply", "overwrite")


def parser(*, suggesting: bool = False) -> CommandParser:
    """Return the parser of the command.

    Args:
        suggesting: names are proposed, so that none must be given.
    """
    command = CommandParser(
        "name",
        "Name the classes of a run; later masks, reports and exports bear the names.",
        'segdistill name runs/photos 3=road "5=traffic light"',
    )
    run_argument(command)
    command.add_argument(
        "names",
        nargs="*" if suggesting else "+",
        help="NUMBER=NAME; with nothing after = a class is numbered again",
    )
    command.add_argument(
        "--suggest",
        type=str,
        metavar="WORDS",
        help="propose names out of this text file, a word a line, with a CLIP-type network",
    )
    command.add_argument(
        "--model",
        type=str,
        help="hub id or local folder of the network (default: openai/clip-vit-base-patch32)",
    )
    command.add_argument(
        "--images",
        nargs="+",
        type=str,
        help="to look at the classes in (default: those of the fit)",
    )
    command.add_argument("--top", type=int, help="words to show for each class (default: 3)")
    flag(command, "--unique", "propose no word twice")
    flag(command, "--apply", "name the classes as proposed, but for those that have a name already")
    flag(command, "--overwrite", "with --apply, also rename those")
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    suggesting = any(each.partition("=")[0] == "--suggest" for each in arguments)
    options = parser(suggesting=suggesting).parse_args(list(arguments))
    if suggesting:
        run_suggestions(options)
        return
    for name in ONLY_WITH_SUGGEST:
        if options[name]:
            raise UserError(f"--{name}: only with --suggest WORDS")
    names = names_from(options.names)

    from segdistill.api.classes import name_classes
    from segdistill.cli.classes import print_classes

    name_classes(options.run, names)
    print_classes(options.run, quiet=options.quiet)


def run_suggestions(options: Namespace) -> None:
    """Propose names, and give them if that is asked for.

    Args:
        options: of the command.

    Raises:
        UserError: something given cannot be used.
    """
    if options.names:
        raise UserError(f"{options.names[0]} and --suggest: give one or the other")
    if options.overwrite and not options.apply:
        raise UserError("--overwrite: only with --apply")
    # Before the library is imported, which takes seconds: a wrong path is told at once.
    for source in (options.suggest, *(options.images or [])):
        check_exists(source)

    from segdistill.api import apply_suggestions, suggest_names
    from segdistill.naming.encoder import DEFAULT_MODEL
    from segdistill.naming.suggestions import names_to_give, shared_words

    found = suggest_names(
        options.run,
        options.suggest,
        model=options.model or DEFAULT_MODEL,
        images=options.images,
        top=3 if options.top is None else options.top,
        unique=options.unique,
        keep_named=not options.overwrite,
        **compute_choice(options),
        progress=not options.quiet,
    )
    names = names_to_give(found, overwrite=options.overwrite)
    print(suggestions_text(found, names))
    if not options.apply:
        print("Nothing was changed: --apply gives the names proposed.")
        return
    apply_suggestions(options.run, found, overwrite=options.overwrite)
    print(f"Named:  {len(names)} of {len(found)} classes")
    if options.quiet:
        return
    for word, indices in shared_words(names, found).items():
        merge = command_line("classes", Path(options.run), "--merge", *indices)
        print(f"Merge:  {merge}  # if they are all {word}")
    if names:
        print(f"Undo:   {command_line('classes', Path(options.run), '--undo')}")


def suggestions_text(suggestions: Sequence["NameSuggestion"], names: Mapping[int, str]) -> str:
    """Return a table: class, name now, name to give, words with their probabilities.

    Args:
        suggestions: one for each class.
        names: to give, by class index; the other classes stay as they are.
    """
    lines = [("class", "now", "proposed", "likely words")]
    for each in suggestions:
        words = ", ".join(f"{word} {100 * share:.0f} %" for word, share in each.words)
        new = names.get(each.index, "-")
        lines.append((str(each.index), each.name, new, words or "not seen in the images"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"  {index:>{widths[0]}}  {now:<{widths[1]}}  {proposed:<{widths[2]}}  {words}"
        for index, now, proposed, words in lines
    )


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
