"""``segdistill teach``: from clusters to the classes that a person wants."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.cli.options import Existing, File, Folder, Loading, Name, Run
from segdistill.cli.outcome import command_line
from segdistill.cli.view import Serving, serve
from segdistill.config.settings import UntaughtName
from segdistill.errors import UserError
from segdistill.layout import TAUGHT_FOLDER

if TYPE_CHECKING:
    from segdistill.api.teaching import Taught

SHOWN_UNUSED = 5


@dataclass(frozen=True)
class Exchange:
    """Answers from and to files.

    Attributes:
        classes: names of classes to add (default: none)
        answers: add the answers in this file, without asking questions: a CSV table with the
            columns image,x,y,class, or JSON from Label Studio, COCO or another run (default: ask in
            the browser)
        export: write all answers of the run to this .csv or .json file (default: none)
        overwrite: with --export: replace an existing file
    """

    classes: Sequence[Name] = ()
    answers: File | None = None
    export: File | None = None
    overwrite: bool = False


def teach(
    run: Run,
    *,
    exchange: Exchange,
    images: Existing | None = None,
    untaught: UntaughtName = "clusters",
    out: Folder | None = None,
    serving: Serving,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Teach a run your classes: name the regions it asks about, and click where masks are wrong.

    This opens the app, which asks the most useful questions first. Answers are stored in the run
    and survive another fit on the same images. The result is a separate run, RUN/taught, which can
    be used like any other.

    Args:
        images: images to ask about (default: those the run was fitted on)
        untaught: what happens to classes of the run that no answer is about: they stay (clusters),
            or every location gets the nearest taught class (nearest)
        out: folder for the taught run (default: RUN/taught)

    Example:
        segdistill teach runs/photos --classes road sky "traffic light"
    """
    if exchange.overwrite and exchange.export is None:
        raise UserError("--overwrite: only with --export FILE")
    if exchange.classes and exchange.export is not None and exchange.answers is None:
        raise UserError("--classes and --export: give only one of them, or --answers, too")
    target = Path(out or Path(run) / TAUGHT_FOLDER)
    if exchange.answers is not None:
        print_taught(_from_file(run, exchange, images, untaught, target, loading, quiet=quiet))
    elif exchange.export is None:
        _in_browser(run, exchange, images, untaught, target, serving, loading)
    if exchange.export is not None:
        from segdistill.api.teaching import export_answers

        count = export_answers(run, exchange.export, overwrite=exchange.overwrite)
        print(f"Answers: {count} in {exchange.export}")
    if exchange.answers is not None and not quiet:
        print(f"Next:    {command_line('segment', target, 'IMAGES')}")


def _from_file(
    run: str,
    exchange: Exchange,
    images: str | None,
    untaught: UntaughtName,
    out: Path,
    loading: Loading,
    *,
    quiet: bool,
) -> "Taught":
    import segdistill

    return segdistill.teach(
        run,
        exchange.answers,
        classes=exchange.classes,
        images=images,
        untaught=untaught,
        out=out,
        **vars(loading),
        progress=not quiet,
    )


def print_taught(taught: "Taught") -> None:
    """Print what was learned from how many answers, and how good it is likely to be."""
    answers = taught.answers
    for reason in taught.skipped[:SHOWN_UNUSED]:
        print(f"Skipped: {reason}")
    if len(taught.skipped) > SHOWN_UNUSED:
        print(f"Skipped: {len(taught.skipped) - SHOWN_UNUSED} more")
    for number, reason in list(taught.unused.items())[:SHOWN_UNUSED]:
        print(f"Unused:  answer {number}: {reason}")
    if len(taught.unused) > SHOWN_UNUSED:
        print(f"Unused:  {len(taught.unused) - SHOWN_UNUSED} more")
    print(f"Taught:  {taught.folder}: {len(taught.segmenter.classes)} classes")
    count = len(answers.answers)
    print(f"Answers: {count}, {taught.added} of them new")
    if taught.accuracy is not None:
        print(
            f"Correct: about {taught.accuracy:.0%} of the pixels"
            f" (± {taught.error or 0:.0%}), estimated by cross-validation"
        )


def _in_browser(
    run: str,
    exchange: Exchange,
    images: str | None,
    untaught: UntaughtName,
    out: Path,
    serving: Serving,
    loading: Loading,
) -> None:
    from segdistill.app.server import require_gradio

    require_gradio()

    from segdistill.api.teaching import add_classes

    if exchange.classes:
        add_classes(run, exchange.classes)
    serve(run, images, serving, loading, tab="teach", untaught=untaught, taught=out)
    print(f"\nAnswers are kept in the run. Next: {command_line('segment', out, 'IMAGES')}")
