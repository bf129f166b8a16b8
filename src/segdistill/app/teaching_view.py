"""What the Teach tab shows."""

import itertools
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from segdistill.api.teacher import Teacher
from segdistill.app.background import Background
from segdistill.app.pictures import MissingPicture
from segdistill.app.requests import read_request
from segdistill.app.teaching import Outcome, Quality, Teaching
from segdistill.app.teaching_pictures import Crop, ShownImage, TeachingPictures
from segdistill.app.teaching_requests import (
    ListAnswers,
    OpenStrip,
    Turn,
    question_id,
    revision_of_answers,
)
from segdistill.errors import UserError
from segdistill.images.palette import css_colour
from segdistill.progress import Report
from segdistill.report.data_uri import data_uri
from segdistill.report.text import counted, percent
from segdistill.teaching.answers import Answers
from segdistill.teaching.answers_csv import answers_table
from segdistill.teaching.questions import Question
from segdistill.teaching.session import RECENT

STRIP_SIZE = 4
LISTED = 10
KEYS = "123456789abcdefghijklmnopqtvwxyz"
"""Keys of the classes, in order: those that stand for nothing else in the tab."""

SETTLED = 0.01
"""Share of the pictures, changed by the last answers, below which more answers change little."""


@dataclass(frozen=True)
class ClassRow:
    """A class that is taught.

    Attributes:
        name: its name.
        colour: CSS colour.
        key: key that answers with it; empty if all keys are taken.
        answers: number of answers that name it.
        is_guess: whether it is the likeliest answer to the question.
    """

    name: str
    colour: str
    key: str
    answers: int
    is_guess: bool


@dataclass(frozen=True)
class QuestionCard:
    """The question that is asked.

    Attributes:
        id: tells it from other questions.
        share: of the pictures that it stands for, formatted.
        image: the image with the region, or why it cannot be shown.
        alike: regions like it.
    """

    id: str
    share: str
    image: ShownImage | MissingPicture
    alike: list[Crop]


@dataclass(frozen=True)
class TeachingView:
    """The question, and how to answer it.

    Attributes:
        revision: revision of the answers.
        number: differs from view to view, so that the page notices each.
        question: the question; ``None`` if none is left.
        classes: the classes that are taught.
        can_undo: whether there is an answer to undo.
        can_redo: whether there is one to redo.
        outcome: of the last request.
    """

    revision: str
    number: int
    question: QuestionCard | None
    classes: list[ClassRow]
    can_undo: bool
    can_redo: bool
    outcome: Outcome


@dataclass(frozen=True)
class AnswerRow:
    """An answer in the list.

    Attributes:
        index: its index.
        image: name of the image.
        crop: the place; ``None`` if it cannot be shown.
        verdict: ``class``, ``several`` or ``skipped``.
        name: the class; empty unless the verdict is ``class``.
        time: when it was given, formatted.
        reason: why it is not used; empty if it is.
    """

    index: int
    image: str
    crop: Crop | None
    verdict: str
    name: str
    time: str
    reason: str


@dataclass(frozen=True)
class Place:
    """What a page shows below the question.

    Attributes:
        strip: page of images.
        listed: page of the list of answers; ``None`` if the list is closed.
    """

    strip: int = 0
    listed: int | None = None

    def turned(self, data: object) -> "Place | None":
        """Return the place that the page asks for; ``None`` if it asks for something else."""
        try:
            request = read_request(data, Turn)
        except UserError:
            return None
        if isinstance(request, OpenStrip):
            return replace(self, strip=request.page)
        if isinstance(request, ListAnswers):
            return replace(self, listed=request.page if request.show == "yes" else None)
        raise AssertionError(request)  # pragma: no cover - there are no others


@dataclass(frozen=True)
class MasksView:
    """Images with their masks.

    Attributes:
        revision: revision of the answers.
        images: the image of the question, if there is one, and a page of images.
        has_question: whether the first of them is that of the question.
        page: number of the page.
        pages: number of pages.
        total: number of images.
        is_taught: whether there are masks.
        can_correct: whether there are classes to draw with.
    """

    revision: str
    images: list[ShownImage | MissingPicture]
    has_question: bool
    page: int
    pages: int
    total: int
    is_taught: bool
    can_correct: bool


@dataclass(frozen=True)
class GivenView:
    """What was taught: classes and answers.

    Attributes:
        revision: revision of the answers.
        number: differs from view to view, so that fields show what is stored after a refusal.
        classes: the classes that are taught.
        untaught: colour and name of the run's classes that stay.
        answers: number of answers.
        unused: number of answers that are not learned from.
        listed: a page of answers, latest first; ``None`` if the list is closed.
        listed_page: number of that page.
        listed_pages: number of pages of answers.
        table: URL of all answers as CSV; empty if the list is closed.
    """

    revision: str
    number: int
    classes: list[ClassRow]
    untaught: list[tuple[str, str]]
    answers: int
    unused: int
    listed: list[AnswerRow] | None
    listed_page: int
    listed_pages: int
    table: str


@dataclass(frozen=True)
class ProgressView:
    """How far the teaching is.

    Attributes:
        lines: sentences about the answers and the masks.
        folder: the taught run; empty if it has not been saved.
        mistake: why it could not be saved.
    """

    lines: list[str]
    folder: str
    mistake: str


class TeachTab:
    """Makes the views of the tab.

    Args:
        teaching: the session.
    """

    def __init__(self, teaching: Teaching) -> None:
        self.teaching = teaching
        self._pictures: tuple[Teacher, TeachingPictures] | None = None
        self._numbers = itertools.count()
        self._ahead = Background(self._read_ahead)

    def close(self) -> None:
        """Finish saving."""
        self._ahead.close()
        self.teaching.close()

    def view(self, outcome: Outcome | None = None, *, report: Report | None = None) -> TeachingView:
        """Return the question.

        Args:
            outcome: of the last request, if there was one.
            report: told of the progress of opening.

        Raises:
            UserError: the session cannot be opened.
        """
        with self.teaching.teacher(report) as teacher:
            session = teacher.session
            question = session.question()
            answers = session.answers
            guess = "" if question is None else session.guess(question.cells)
            return TeachingView(
                revision=revision_of_answers(answers),
                number=next(self._numbers),
                question=None if question is None else self._card(teacher, question),
                classes=_rows_of_classes(answers, guess),
                can_undo=bool(answers.answers),
                can_redo=bool(answers.undone),
                outcome=outcome or Outcome(),
            )

    def change(self, data: object) -> TeachingView:
        """Do what the page asks for, and return the next question.

        Raises:
            UserError: the session cannot be opened.
        """
        return self.view(self.teaching.change(data))

    def masks(self, place: Place) -> MasksView:
        """Return images with their masks.

        Args:
            place: what is shown; pages are clipped.

        Raises:
            UserError: the session cannot be opened.
        """
        with self.teaching.teacher() as teacher:
            self._ahead.ask()
            session, pictures = teacher.session, self._pictures_of(teacher)
            total = len(session.images)
            pages = max(1, -(-total // STRIP_SIZE))
            page = min(max(place.strip, 0), pages - 1)
            shown = list(range(page * STRIP_SIZE, min((page + 1) * STRIP_SIZE, total)))
            question = session.question()
            if question is not None:
                own = int(session.pool.image_of(question.cells[:1])[0])
                shown = [own, *(each for each in shown if each != own)]
            return MasksView(
                revision=revision_of_answers(session.answers),
                images=[pictures.taught(index) for index in shown],
                has_question=question is not None,
                page=page,
                pages=pages,
                total=total,
                is_taught=session.is_taught,
                can_correct=bool(session.answers.classes),
            )

    def given(self, place: Place) -> GivenView:
        """Return the classes and the answers; arguments and errors as for :meth:`masks`."""
        with self.teaching.teacher() as teacher:
            session = teacher.session
            count = len(session.answers.answers)
            pages = max(1, -(-count // LISTED))
            page = min(max(place.listed or 0, 0), pages - 1)
            reasons = {each.index: each.reason for each in session.unused()}
            rest = session.classes[len(session.answers.classes) :]
            return GivenView(
                revision=revision_of_answers(session.answers),
                number=next(self._numbers),
                classes=_rows_of_classes(session.answers),
                untaught=[(css_colour(each.colour), each.name) for each in rest],
                answers=count,
                unused=len(reasons),
                listed=None if place.listed is None else self._rows(teacher, page, reasons),
                listed_page=page,
                listed_pages=pages,
                table="" if place.listed is None else _table(session.answers),
            )

    def progress(self) -> ProgressView:
        """Return how far the teaching is, after the answers so far have been saved and judged."""
        self.teaching.wait()
        with self.teaching.teacher() as teacher:
            count = len(teacher.session.answers.answers)
            revision = revision_of_answers(teacher.session.answers)
            is_saved = teacher.session.is_taught and self.teaching.saved == revision
            return ProgressView(
                sentences(count, self.teaching.quality),
                str(teacher.out) if is_saved else "",
                self.teaching.mistake,
            )

    def _read_ahead(self) -> None:
        """Read the images of the next question while a person looks at this one."""
        with suppress(UserError):  # told by the page
            with self.teaching.teacher() as teacher:
                pictures, pool = self._pictures_of(teacher), teacher.session.pool
                following = teacher.session.upcoming
                regions = () if following is None else (following.cells, *following.alike)
                images = [int(pool.image_of(cells[:1])[0]) for cells in regions]
            for image in images:
                pictures.read_ahead(image)

    def _card(self, teacher: Teacher, question: Question) -> QuestionCard:
        pictures, pool = self._pictures_of(teacher), teacher.session.pool
        image = int(pool.image_of(question.cells[:1])[0])
        crops = []
        for cells in question.alike:
            other = int(pool.image_of(cells[:1])[0])
            crop = pictures.crop(other, pictures.inside(other, cells))
            if crop is not None:
                crops.append(crop)
        shown = pictures.asked(image, question.cells)
        return QuestionCard(question_id(question), percent(question.share), shown, crops)

    def _rows(self, teacher: Teacher, page: int, reasons: dict[int, str]) -> list[AnswerRow]:
        pictures = self._pictures_of(teacher)
        answers = teacher.session.answers.answers
        latest = range(len(answers) - 1, -1, -1)[page * LISTED : (page + 1) * LISTED]
        return [
            AnswerRow(
                index,
                answers[index].image,
                pictures.crop_of(answers[index]),
                answers[index].verdict,
                answers[index].name,
                local_time(answers[index].time),
                reasons.get(index, ""),
            )
            for index in latest
        ]

    def _pictures_of(self, teacher: Teacher) -> TeachingPictures:
        """Return the pictures of a teacher, which is locked; a new one begins anew."""
        if self._pictures is None or self._pictures[0] is not teacher:
            self._pictures = (teacher, TeachingPictures(teacher))
        return self._pictures[1]


def _rows_of_classes(answers: Answers, guess: str = "") -> list[ClassRow]:
    counts = Counter(each.name for each in answers.answers)
    return [
        ClassRow(
            each.name,
            css_colour(each.colour),
            KEYS[place : place + 1],
            counts[each.name],
            each.name == guess,
        )
        for place, each in enumerate(answers.classes)
    ]


def sentences(answers: int, quality: Quality | None) -> list[str]:
    """Return how far the teaching is, in sentences.

    Example:
        >>> sentences(1, None)
        ['1 answer.']
        >>> sentences(45, Quality(43, None, 0.02))[1]
        'The last 20 answers changed 2% of the pixels.'
    """
    lines = [f"{counted(answers, 'answer')}."]
    if quality is None:
        return lines
    found = quality.estimate
    if found is not None:
        lines.append(
            f"About {100 * found.accuracy:.0f}% of the pixels correct (± {100 * found.error:.0f}),"
            f" estimated by cross-validation on {found.answers} answers."
        )
    if quality.recent_change is not None:
        changed = percent(quality.recent_change)
        lines.append(f"The last {RECENT} answers changed {changed} of the pixels.")
        if quality.recent_change < SETTLED:
            lines.append("Further answers will change little.")
    return lines


def local_time(time: str) -> str:
    """Return a time in UTC as local time, to the minute; unchanged if it is none."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return time


def _table(answers: Answers) -> str:
    """Return all answers as CSV in a data URL."""
    return data_uri(answers_table(answers.answers).encode("utf-8", "replace"), "text/csv")
