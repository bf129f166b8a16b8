"""``segdistill name``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

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
from segdistill.errors import UserError
from segdistill.images.finding import check_exists

if TYPE_CHECKING:
    from segdistill.naming.suggestions import NameSuggestion

ONLY_WITH_SUGGEST = ("model", "images", "top", "unique", "apply", "overwrite")


def parser(*, suggesting: bool = False) -> CommandParser:
    """Return the parser of the command.

    Args:
        suggesting: ``--suggest`` is given, so names are optional.
    """
    command = CommandParser(
        "name",
        "Name the classes of a run; later masks, reports and exports use the names.",
        'segdistill name runs/photos 3=road "5=traffic light"',
    )
    run_argument(command)
    command.add_argument(
        "names",
        nargs="*" if suggesting else "+",
        metavar="NUMBER=NAME",
        help="name of a class; an empty one removes the name. Not used with --suggest",
    )
    command.add_argument(
        "--suggest",
        type=str,
        metavar="WORDS",
        help="suggest names from this text file, one word per line, with a CLIP model (default: use"
        " the names given)",
    )
    command.add_argument(
        "--model",
        type=str,
        metavar="NAME",
        help="hub id or local folder of the CLIP model (default: openai/clip-vit-base-patch32)",
    )
    command.add_argument(
        "--images",
        nargs="+",
        type=str,
        metavar="PATH",
        help="images to find the classes in (default: those of the fit)",
    )
    command.add_argument("--top", type=int, help="number of words to show per class (default: 3)")
    flag(command, "--unique", "suggest each word only once")
    flag(command, "--apply", "apply the suggested names, except to classes that are named already")
    flag(command, "--overwrite", "with --apply: rename those as well")
    backbone_option(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    suggesting = any(each.partition("=")[0] == "--suggest" for each in arguments)
    options = parse_options(parser(suggesting=suggesting), arguments)
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
    """Suggest names, and apply them with ``--apply``.

    Args:
        options: as parsed.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    if options.names:
        raise UserError(f"{options.names[0]} and --suggest: give only one of them")
    if options.overwrite and not options.apply:
        raise UserError("--overwrite: only with --apply")
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
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
        print("Nothing was changed; --apply applies the suggested names.")
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
    """Return a table: class, current name, suggested name, words with their probabilities.

    Args:
        suggestions: one per class.
        names: suggested names by class index; other classes keep their name.
    """
    lines = [("class", "current", "suggested", "likely words")]
    for each in suggestions:
        words = ", ".join(f"{word} {100 * share:.0f} %" for word, share in each.words)
        new = names.get(each.index, "-")
        lines.append((str(each.index), each.name, new, words or "not seen in the images"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"  {index:>{widths[0]}}  {current:<{widths[1]}}  {suggested:<{widths[2]}}  {words}"
        for index, current, suggested, words in lines
    )


def names_from(given: Sequence[str]) -> dict[int, str]:
    """Parse names of classes from the command line.

    Args:
        given: each such as ``3=road``.

    Raises:
        UserError: one has another form, or a class is named twice.

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
