"""Teaching in the app: one session, kept while the app runs, and what is saved from it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import cast

from segdistill.api.teacher import Teacher, open_teacher
from segdistill.app.background import Background
from segdistill.app.requests import read_request
from segdistill.app.teaching_requests import Change, Changes, revision_of_answers
from segdistill.config.settings import DeviceName, PrecisionName, UntaughtName
from segdistill.errors import UserError
from segdistill.files import Stamp, stamp_of
from segdistill.images.finding import ImageFile
from segdistill.layout import ANSWERS_FILE, DESCRIPTION_FILE
from segdistill.progress import Report, progress_reported
from segdistill.teaching.answers_file import AnswersChangedError
from segdistill.teaching.estimate import Estimate

ESTIMATED_EVERY = 5
"""Answers after which it is estimated anew how good the masks are: that takes a few seconds."""


@dataclass(frozen=True)
class Choices:
    """How a run is taught; see :func:`segdistill.api.teacher.open_teacher`.

    Attributes:
        backbone: new location of the backbone, if it was moved.
        device: device to compute on.
        precision: precision of matrix products.
        untaught: what becomes of classes of the run in which nothing has been taught.
        out: folder for the taught run; by default ``taught`` in the run folder.
    """

    backbone: str | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    untaught: UntaughtName = "clusters"
    out: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        message: for the user.
        failed: whether nothing was done.
    """

    message: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Quality:
    """How good the masks are, as of some number of answers.

    Attributes:
        answers: number of answers then.
        estimate: estimated accuracy; ``None`` if there are too few answers.
        recent_change: share of the pictures that the last answers changed; ``None`` if too few.
    """

    answers: int
    estimate: Estimate | None
    recent_change: float | None


class Teaching:
    """The teaching session of a run; all methods may be called from several threads.

    It is opened when it is first needed, and again after another fit or a change of the run's
    classes. Answers that other programs store are taken over.

    Args:
        run: the run folder.
        files: the images to ask about.
        choices: how the run is taught.

    Attributes:
        files: the images to ask about.
        quality: the latest estimate; ``None`` before the first.
        saved: the revision of the answers from which the taught run was saved last; empty if none.
        mistake: why the taught run could not be saved; empty if it could.
    """

    def __init__(self, run: Path, files: Sequence[ImageFile], choices: Choices) -> None:
        self.files = list(files)
        self.quality: Quality | None = None
        self.saved = ""
        self.mistake = ""
        self._run = run
        self._choices = choices
        self._lock = RLock()
        self._teacher: Teacher | None = None
        self._stamp: Stamp = (0, 0, 0)
        self._background = Background(self._save_and_estimate)

    @contextmanager
    def teacher(self, report: Report | None = None) -> Iterator[Teacher]:
        """Yield the teacher with the current answers, locked.

        Args:
            report: told of the progress of opening.

        Raises:
            UserError: the run cannot be opened, or the file of answers is damaged.
        """
        with self._lock:
            stamp = stamp_of(self._run / DESCRIPTION_FILE)
            if self._teacher is None or stamp != self._stamp:
                self._teacher = self._opened(report or (lambda _what, _done, _of: None))
                self._stamp = stamp
                self.quality = None
                self.saved = self._saved_before(self._teacher)
                self._background.ask()
            elif self._teacher.follow():
                self._background.ask()
            yield self._teacher

    def change(self, data: object) -> Outcome:
        """Do what the page asks for; see :data:`segdistill.app.teaching_requests.Changes`."""
        try:
            request = cast("Change", read_request(data, Changes))
            with self.teacher() as teacher:
                try:
                    message = request.perform(teacher.session)
                except AnswersChangedError:
                    # By another program, since they were read a moment ago.
                    teacher.follow()
                    message = request.perform(teacher.session)
                self._background.ask()
            return Outcome(message)
        except UserError as error:
            return Outcome(str(error), failed=True)

    def wait(self) -> None:
        """Wait until the answers given so far are saved and judged."""
        self._background.wait()

    def close(self) -> None:
        """Finish saving."""
        self._background.close()

    def _opened(self, report: Report) -> Teacher:
        chosen = self._choices
        with progress_reported(report):
            return open_teacher(
                self._run,
                self.files,
                untaught=chosen.untaught,
                out=chosen.out,
                backbone=chosen.backbone,
                device=chosen.device,
                precision=chosen.precision,
            )

    def _saved_before(self, teacher: Teacher) -> str:
        """Return the revision of the answers if the taught run was made from them; else nothing."""
        made, *needed = (
            stamp_of(each)[0]
            for each in (
                teacher.out / DESCRIPTION_FILE,
                self._run / ANSWERS_FILE,
                self._run / DESCRIPTION_FILE,
            )
        )
        return revision_of_answers(teacher.session.answers) if made > max(needed) else ""

    def _save_and_estimate(self) -> None:
        with self._lock:
            if self._teacher is None:
                return
            teacher = self._teacher.snapshot()
        session = teacher.session
        revision = revision_of_answers(session.answers)
        if session.is_taught and revision != self.saved:
            try:
                teacher.save()
                self.saved, self.mistake = revision, ""
            except UserError as error:
                self.mistake = str(error)
        count = len(session.answers.answers)
        judged = -ESTIMATED_EVERY if self.quality is None else self.quality.answers
        if abs(count - judged) >= ESTIMATED_EVERY:
            self.quality = Quality(count, session.estimate(), session.recent_change())
