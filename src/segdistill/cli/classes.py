"""``segdistill classes``, ``segdistill name`` and ``segdistill recluster``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from segdistill.cli.arguments import Value
from segdistill.cli.options import Existing, Loading, Name, Run, check_path, one_of
from segdistill.cli.outcome import command_line
from segdistill.config.settings import LevelName
from segdistill.errors import UserError

if TYPE_CHECKING:
    from segdistill.api.class_changes import ClassChange
    from segdistill.model.class_sets import ClassSet
    from segdistill.model.description import SegmentClass
    from segdistill.naming.suggestions import NameSuggestion

LISTED_CLASSES = 40
LEAST_SHARE = 0.05

Classes = Sequence[Annotated[str, Value("CLASS")]]


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

    A CLASS is a number or a name. New names and changes of the number of classes can be undone as
    well. Later masks, reports and exports use the new classes.

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
    one_of(merge=merge, hide=hide, show=show, propose=propose, undo=undo, redo=redo)
    if propose:
        print_proposals(run)
        return
    import segdistill

    done, change = "Done:", None
    if merge:
        change = segdistill.merge_classes(run, merge)
    elif hide or show:
        change = segdistill.hide_classes(run, hide or show or [], hide=bool(hide))
    elif undo or redo:
        done, change = undone_or_redone(run, undo=undo)
    if change is None or not quiet:
        print_classes(run)
    if change is None or quiet:
        return
    print(f"{done:<7} {change.summary}")
    if len(change.before.classes) != len(change.after.classes):
        print("Note:   existing masks and reports still use the old numbers")
    if change:
        print_way_back(run, "classes", undo=undo)


def undone_or_redone(run: str, *, undo: bool) -> "tuple[str, ClassChange]":
    """Undo or redo the last change; return the word for it, and the change."""
    import segdistill

    if undo:
        return "Undone:", segdistill.undo_classes(run)
    return "Redone:", segdistill.redo_classes(run)


def print_way_back(run: str, command: str, *, undo: bool = False) -> None:
    """Print the command that undoes a change, or redoes one that was undone."""
    way = "Redo" if undo else "Undo"
    print(f"{way}:   {command_line(command, Path(run), f'--{way.lower()}')}")


def print_proposals(run: str) -> None:
    """Print the pairs of classes that are likely to be the same."""
    from segdistill import classes_of, proposed_merges
    from segdistill.report.text import merge_reason

    known, proposals = classes_of(run), proposed_merges(run)
    if not proposals:
        print(f"Run:    {run}: no two of its classes are likely to be the same")
        return
    print(f"Run:    {run}: pairs of classes that are likely to be the same, most likely first")
    for each in proposals:
        pair = " and ".join(f"{known[index].index} {known[index].name}" for index in each.classes)
        print(f"  {pair}: {merge_reason(each)}")
    print(f"Merge:  {command_line('classes', Path(run), '--merge', *proposals[0].classes)}")


def print_classes(run: str) -> None:
    """Print a line per class of a run: index, name, share of the training images."""
    from segdistill import class_shares, classes_of

    known, shares = classes_of(run), class_shares(run)
    of = "" if shares is None else "; shares of the training images"
    print(f"Run:    {run}: {len(known)} classes{of}")
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
        apply: apply the suggested names, except to classes that already have a name
        overwrite: with --apply: rename these, too
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
    names: Sequence[Annotated[str, Value("CLASS=NAME")]] = (),
    *,
    suggesting: Suggesting,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Name the classes of a run; later masks, reports and exports use the names.

    Args:
        names: number or current name of a class, and its new name; an empty one removes the name.
            Not used with --suggest

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
        raise UserError("CLASS=NAME is missing, such as 3=road")
    given = names_from(names)

    import segdistill
    from segdistill.model.class_edits import indices_of

    indices = indices_of(segdistill.classes_of(run), given)
    for index in indices:
        if indices.count(index) > 1:
            raise UserError(f"class {index} is named twice")
    segdistill.name_classes(run, dict(zip(indices, given.values(), strict=True)))
    if not quiet:
        print_classes(run)


def suggest_names(
    run: str, words: str, options: Suggesting, loading: Loading, *, quiet: bool
) -> None:
    """Print suggested names, and apply them with ``--apply``."""
    if options.overwrite and not options.apply:
        raise UserError("--overwrite: only with --apply")

    import segdistill
    from segdistill.naming.encoder import DEFAULT_MODEL
    from segdistill.naming.suggestions import names_to_give, shared_words

    found = segdistill.suggest_names(
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
    segdistill.apply_suggestions(run, found, overwrite=options.overwrite)
    print(f"Named:  {len(names)} of {len(found)} classes")
    if quiet:
        return
    for word, indices in shared_words(names, found).items():
        merge = command_line("classes", Path(run), "--merge", *indices)
        print(f"Merge:  {merge}  # if they are all {word}")
    if names:
        print_way_back(run, "classes")


def suggestions_text(suggestions: Sequence["NameSuggestion"], names: Mapping[int, str]) -> str:
    """Return a table: class, current name, suggested name, words with their probabilities."""
    lines = [("class", "current", "suggested", "likely words")]
    for each in suggestions:
        words = ", ".join(f"{word} {share:.0%}" for word, share in each.words)
        new = names.get(each.index, "-")
        lines.append((str(each.index), each.name, new, words or "not seen in the images"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"  {index:>{widths[0]}}  {current:<{widths[1]}}  {suggested:<{widths[2]}}  {words}"
        for index, current, suggested, words in lines
    )


def names_from(given: Sequence[str]) -> dict[str, str]:
    """Parse names of classes from the command line: new names by number or present name.

    Example:
        >>> names_from(["3=road", "5=a tree", "sky=cloud"])
        {'3': 'road', '5': 'a tree', 'sky': 'cloud'}
    """
    names: dict[str, str] = {}
    for each in given:
        old, equals, new = each.partition("=")
        if not equals or not old.strip():
            raise UserError(f"{each}: write CLASS=NAME, such as 3=road")
        if old in names:
            raise UserError(f"class {old} is named twice")
        if re.search(r",[^,=]+=", new):
            raise UserError(f"{each}: separate names by spaces, such as 3=road 5=tree")
        names[old] = new
    return names


def recluster(
    run: Run,
    *,
    level: LevelName | None = None,
    classes: int | None = None,
    undo: bool = False,
    redo: bool = False,
    images: Annotated[str, Value("PATH")] | None = None,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Change the level or the number of classes of a run without training again.

    It needs no images. The previous classes are kept: --undo, or their level or number, restores
    them. --undo and --redo are the same as those of `segdistill classes`, so they also undo names
    and merges.

    Args:
        level: level of the nested classes: coarse, medium (the number found by the fit, or set by
            --classes since) or fine (many small classes, to name and merge) (default: use
            --classes)
        classes: new number of classes (default: use --level). A number that the run has not had
            before becomes level medium; coarse then has half as many, and fine about four times as
            many
        undo: undo the last change of the classes, of any kind
        redo: redo the last change that was undone
        images: images to write report.html again with (default: the report is not updated)

    Example:
        segdistill recluster runs/photos --level fine
    """
    if not one_of(classes=classes, level=level, undo=undo, redo=redo):
        raise UserError("give --level, --classes, --undo or --redo")
    folder = Path(run)
    from segdistill.images.finding import find_images

    # Before anything is changed: a wrong path is reported at once.
    files = None if images is None else find_images(images)

    import segdistill

    if undo or redo:
        done, change = undone_or_redone(run, undo=undo)
        print(f"{done} {change.summary}")
    else:
        change = segdistill.recluster(folder, classes, level=level)
    before, now = change.before, change.after
    if undo:
        before, now = now, before
    if not quiet:
        print_levels(before, now)
    if not change:
        print(f"Run:    {folder}: already has {len(now.classes)} classes")
    else:
        print(f"Run:    {folder}: {len(now.classes)} classes, formerly {len(before.classes)}")
        for line in [] if quiet or undo or redo else origins(change):
            print(f"        {line}")
        print_way_back(run, "recluster", undo=undo)
    if files is not None:
        segdistill.rewrite_report(folder, files, **vars(loading), progress=not quiet)
        print(f"Report: {folder / 'report.html'}")
    elif change:
        print("Note:   the report and existing masks and scores still show the old classes;")
        print("        --images IMAGES updates the report")


def print_levels(before: "ClassSet", now: "ClassSet") -> None:
    """Print a line per level, with its number of classes, and what the levels were before."""
    if now.levels is None:
        return
    counts, in_use = now.levels.counts, now.levels.level_of(now.classes)
    title = "Levels:"
    for name, count in counts.items():
        # Two levels of as many classes are the same one.
        used = " (in use)" if in_use is not None and count == counts[in_use] else ""
        print(f"{title:<7} {name:<6} {count:>3} {'class' if count == 1 else 'classes'}{used}")
        title = ""
    if before.levels is not None and before.levels.counts != counts:
        were = ", ".join(f"{name} {count}" for name, count in before.levels.counts.items())
        print(f"        The levels have changed with the number of classes; they were {were}")


def origins(change: "ClassChange") -> list[str]:
    """Return a table of the old classes that each new class consists of, if these are known."""
    former, now = change.before.classes, change.after.classes
    if change.overlap is None or len(now) > LISTED_CLASSES:
        return []
    lines = ["New class <- old classes (share of the new class's training codes)"]
    width = max(len(_label(each)) for each in now)
    for each, column in zip(now, change.overlap.T, strict=True):
        shares = column / max(column.sum(), 1e-12)
        largest = [index for index in (-shares).argsort()[:3] if shares[index] >= LEAST_SHARE]
        parts = [f"{_label(former[index])} ({shares[index]:.0%})" for index in largest]
        lines.append(f"{_label(each):<{width}}  <-  {', '.join(parts) or 'small parts of many'}")
    return lines


def _label(each: "SegmentClass") -> str:
    """Return a class's index, and its name if it has one."""
    return f"{each.index} {each.name}" if each.is_named else str(each.index)
