"""Teaching a run the classes a person wants, and its answers to and from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.api.common import Source
from segdistill.api.teacher import open_teacher
from segdistill.config.settings import DeviceName, PrecisionName, UntaughtName
from segdistill.errors import UserError
from segdistill.model.segmenter import Segmenter
from segdistill.teaching.answers import Answers
from segdistill.teaching.answers_file import AnswersFile
from segdistill.teaching.exchange import read_answer_file, write_answer_file


@dataclass(frozen=True)
class Taught:
    """The result of :func:`teach`.

    Attributes:
        folder: the run with the taught classes.
        segmenter: its model.
        answers: the classes and answers it was made from.
        added: number of answers that were new.
        skipped: records of the file that were not used, with reasons.
        unused: why answers were not used, by their numbers from 1; empty if all were.
        accuracy: estimated accuracy, from answers held back in turn; ``None`` if there are too few.
        error: standard error of that estimate.
    """

    folder: Path
    segmenter: Segmenter
    answers: Answers
    added: int
    skipped: tuple[str, ...]
    unused: Mapping[int, str]
    accuracy: float | None
    error: float | None


def teach(
    run: Source,
    answers: Source | None = None,
    *,
    classes: Sequence[str] = (),
    images: Source | Sequence[Source] | None = None,
    untaught: UntaughtName = "clusters",
    out: Source | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> Taught:
    """Teach a run classes from a file of answers, without asking questions.

    Args:
        run: a run folder.
        answers: answers to add to those in the run: CSV, Label Studio or COCO; see
            ``docs/answers.md``.
        classes: names of classes to add.
        images: images to learn from; by default those that the run was fitted on.
        untaught: as for :func:`open_teacher`.
        out: as for :func:`open_teacher`.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
        progress: show progress bars.

    Returns:
        The taught run, and what it was made from.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix. Unless the
            answers were stored already, nothing has changed.
    """
    teacher = open_teacher(
        run,
        images,
        mentioned_in=answers,
        untaught=untaught,
        out=out,
        backbone=backbone,
        device=device,
        precision=precision,
        progress=progress,
    )
    session = teacher.session
    changed, added = session.answers.with_new_classes(classes), 0
    skipped: tuple[str, ...] = ()
    if answers is not None:
        imported = read_answer_file(Path(answers), session.images, changed)
        changed, added, skipped = imported.answers, imported.added, imported.skipped
        if skipped and not changed.answers:
            raise UserError(f"{answers}: none of its answers can be used; first: {skipped[0]}")
    session.change(changed)
    model = teacher.save()
    estimate = session.estimate()
    return Taught(
        teacher.out,
        model,
        session.answers,
        added,
        skipped,
        {each.index + 1: each.reason for each in session.unused()},
        None if estimate is None else estimate.accuracy,
        None if estimate is None else estimate.error,
    )


def add_classes(run: Source, names: Sequence[str]) -> Answers:
    """Add classes to those that a run is taught, and return its answers.

    Names that are known already are left as they are.

    Args:
        run: a run folder.
        names: names of classes.

    Raises:
        UserError: a name is empty, too long or given twice, or the folder cannot be written.
    """
    store = AnswersFile(Path(run))
    answers = store.read().with_new_classes(names)
    store.write(answers)
    return answers


def export_answers(run: Source, path: Source, *, overwrite: bool = False) -> int:
    """Write the answers given to a run to a separate file, and return their number.

    Args:
        run: a run folder.
        path: the file, ``.csv`` or ``.json``; see ``docs/answers.md``.
        overwrite: replace an existing file.

    Raises:
        UserError: the run has no answers, or the file exists or cannot be written.
    """
    answers = AnswersFile(Path(run)).read()
    if not answers.answers:
        raise UserError(f"{run}: no answers to export; give some with `segdistill teach`")
    write_answer_file(Path(path), answers, overwrite=overwrite)
    return len(answers.answers)
