"""``segdistill classes``, ``segdistill name`` and ``segdistill recluster``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from segdistill.cli.arguments import Value
from segdistill.cli.options import Existing, Loading, Name, Run, check_path
from segdistill.cli.outcome import command_line
from segdistill.config.settings import LevelName
from segdistill.errors import UserError

if TYPE_CHECKING:
    from segdistill.api.reclustering import Reclustered
    from segdistill.model.description import SegmentClass
    from segdistill.naming.suggestions import NameSuggestion

LISTED_CLASSES = 40
LEAST_SHARE = 0.05

Classes = Sequence[Annotated[int, Value("N")]]


def classes(
    run: Run,
    *,
    merge: Classes | None = None,
    hide: Classes | None = None,
    show: Classes | None = None,
    propose: bool = False,
    undo: bool = False,
    redo: bool = False,
    quiet: bool = False,
) -> None:
    """List the classes of a run; merge or hide some; undo and redo changes.

    New names and changes of the number of classes can be undone as well. Later masks, reports and
    exports use the new classes.

    Args:
        merge: merge these classes into one; all are then renumbered by share (default: none)
        hide: leave these classes out of overlays and exports; masks keep them (default: none)
        show: show these classes again (default: none)
        propose: list pairs of classes that are likely to be the same, to merge
        undo: undo the last change
        redo: redo the last change that was undone

    Example:
        segdistill classes runs/photos --merge 2 5
    """
    changes = {"merge": merge, "hide": hide, "show": show, "undo": undo, "redo": redo}
    wanted = [f"--{name}" for name, value in changes.items() if value]
    if len(wanted) > 1:
        raise UserError(f"{' and '.join(wanted)}: give only one of them")

    from segdistill.api.classes import hide_classes, merge_classes, redo_classes, undo_classes

    if propose:
        print_proposals(run)
        return
    if merge:
        merge_classes(run, merge)
    elif hide or show:
        hide_classes(run, hide or show or [], hide=bool(hide))
    elif undo:
        undo_classes(run)
    elif redo:
        redo_classes(run)
    if quiet and wanted:
        return
    print_classes(run)
    if wanted and not (hide or show):
        print("Note:   masks and reports that exist show the former numbers")
    if wanted and not (undo or quiet):
        print(f"Undo:   {command_line('classes', Path(run), '--undo')}")


def print_proposals(run: str) -> None:
    """Print the pairs of classes that are likely to be the same."""
    from segdistill.api.classes import classes_of, proposed_merges
    from segdistill.report.text import merge_reason

    known, proposals = classes_of(run), proposed_merges(run)
    if not proposals:
        print(f"Run:    {run}: no pairs to propose")
        return
    print(f"Run:    {run}: pairs of classes that are likely to be the same, the likeliest first")
    for each in proposals:
        pair = " and ".join(f"{known[index].index} {known[index].name}" for index in each.classes)
        print(f"  {pair}: {merge_reason(each)}")
    print(f"Merge:  {command_line('classes', Path(run), '--merge', *proposals[0].classes)}")


def print_classes(run: str) -> None:
    """Print a line per class of a run: index, name, share of the training codes."""
    from segdistill.api.classes import class_shares, classes_of

    known, shares = classes_of(run), class_shares(run)
    print(f"Run:    {run}: {len(known)} classes")
    width = max(len(each.name) for each in known)
    for each in known:
        share = "" if shares is None else f"{shares[each.index]:6.1%}"
        notes = [
            *([f"{len(each.members)} clusters"] if len(each.members) > 1 else []),
            *(["hidden"] if each.hidden else []),
        ]
        note = f"  ({'; '.join(notes)})" if notes else ""
        print(f"  {each.index:3}  {each.name:<{width}}  {share}{note}".rstrip())


@dataclass(frozen=True)
class Suggesting:
    """How names are suggested.

    Attributes:
        suggest: suggest names from this text file, one word per line, with a CLIP model (default:
            use the names given)
        model: hub id or local folder of the CLIP model (default: openai/clip-vit-base-patch32)
        images: images to find the classes in (default: those of the fit)
        top: number of words to show per class (default: 3)
        unique: suggest each word only once
        apply: apply the suggested names, except to classes that are named already
        overwrite: with --apply: rename those as well
    """

    suggest: Annotated[str, Value("WORDS", check=check_path)] | None = None
    model: Name | None = None
    images: Sequence[Existing] | None = None
    top: int | None = None
    unique: bool = False
    apply: bool = False
    overwrite: bool = False


def name(
    run: Run,
    names: Sequence[Annotated[str, Value("NUMBER=NAME")]] = (),
    *,
    suggesting: Suggesting,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Name the classes of a run; later masks, reports and exports use the names.

    Args:
        names: name of a class; an empty one removes the name. Not used with --suggest

    Example:
        segdistill name runs/photos 3=road "5=traffic light"
    """
    if suggesting.suggest is not None:
        if names:
            raise UserError(f"{names[0]} and --suggest: give only one of them")
        suggest_names(run, suggesting.suggest, suggesting, loading, quiet=quiet)
        return
    for option, value in vars(suggesting).items():
        if value:
            raise UserError(f"--{option}: only with --suggest WORDS")
    if not names:
        raise UserError("NUMBER=NAME is missing")
    given = names_from(names)

    from segdistill.api.classes import name_classes

    name_classes(run, given)
    if not quiet:
        print_classes(run)


def suggest_names(
    run: str, words: str, options: Suggesting, loading: Loading, *, quiet: bool
) -> None:
    """Print suggested names, and apply them with ``--apply``."""
    if options.overwrite and not options.apply:
        raise UserError("--overwrite: only with --apply")

    from segdistill import api
    from segdistill.naming.encoder import DEFAULT_MODEL
    from segdistill.naming.suggestions import names_to_give, shared_words

    found = api.suggest_names(
        run,
        words,
        model=options.model or DEFAULT_MODEL,
        images=options.images,
        top=3 if options.top is None else options.top,
        unique=options.unique,
        keep_named=not options.overwrite,
        **vars(loading),
        progress=not quiet,
    )
    names = names_to_give(found, overwrite=options.overwrite)
    print(suggestions_text(found, names))
    if not options.apply:
        print("Nothing was changed; --apply applies the suggested names.")
        return
    api.apply_suggestions(run, found, overwrite=options.overwrite)
    print(f"Named:  {len(names)} of {len(found)} classes")
    if quiet:
        return
    for word, indices in shared_words(names, found).items():
        merge = command_line("classes", Path(run), "--merge", *indices)
        print(f"Merge:  {merge}  # if they are all {word}")
    if names:
        print(f"Undo:   {command_line('classes', Path(run), '--undo')}")


def suggestions_text(suggestions: Sequence["NameSuggestion"], names: Mapping[int, str]) -> str:
    """Return a table: class, current name, suggested name, words with their probabilities."""
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

    Example:
        >>> names_from(["3=road", "5=a tree"])
        {3: 'road', 5: 'a tree'}
    """
    names: dict[int, str] = {}
    for each in given:
        number, equals, new = each.partition("=")
        if not equals or not number.strip().isdecimal():
            raise UserError(f"{each}: write NUMBER=NAME, such as 3=road")
        if int(number) in names:
            raise UserError(f"class {int(number)} is named twice")
        names[int(number)] = new
    return names


def recluster(
    run: Run,
    *,
    level: LevelName | None = None,
    classes: int | None = None,
    undo: bool = False,
    images: Annotated[str, Value("PATH")] | None = None,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Change the level or the number of classes of a run without training again.

    It needs no images. The former classes are kept; --undo, or their level or number, restores
    them.

    Args:
        level: level of the nested classes that the fit found: coarse, medium (the initial one) or
            fine (many small classes, to name and merge) (default: --classes or --undo is used)
        classes: new number of classes (default: --level or --undo is used)
        undo: restore the former classes
        images: images to write report.html again with (default: the report is not updated)

    Example:
        segdistill recluster runs/photos --level fine
    """
    folder = Path(run)
    from segdistill.images.finding import find_images

    # Before anything is changed: a wrong path is reported at once.
    files = None if images is None else find_images(images)

    from segdistill.api import reclustering

    changed = reclustering.recluster(folder, classes, level=level, undo=undo)
    if changed.levels and not quiet:
        counts = ", ".join(f"{level} {count}" for level, count in changed.levels.items())
        print(f"Levels: {counts}")
    if changed.after == changed.before:
        print(f"Run:    {folder}: has {len(changed.after)} classes already")
    else:
        print(f"Run:    {folder}: {len(changed.after)} classes, formerly {len(changed.before)}")
        for line in [] if quiet else origins(changed):
            print(f"        {line}")
        print(f"Undo:   {command_line('recluster', folder, '--undo')}")
    if files is not None:
        reclustering.rewrite_report(folder, files, **vars(loading), progress=not quiet)
        print(f"Report: {folder / 'report.html'}")
    elif changed.after != changed.before:
        print("Note:   the report and existing masks and scores still show the old classes;")
        print("        --images IMAGES updates the report")


def origins(changed: "Reclustered") -> list[str]:
    """Return a table of the old classes that each new class consists of, if these are known."""
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
