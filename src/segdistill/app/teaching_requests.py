"""What the Teach tab asks for, and what is done about it."""

import hashlib
import re
from typing import Annotated, Literal

from msgspec import Meta

from segdistill.app.requests import Request
from segdistill.errors import UserError
from segdistill.model.description import Byte, Name
from segdistill.teaching.answers import MAX_POINTS, Answer, Answers, Pixel, Verdict
from segdistill.teaching.questions import Question
from segdistill.teaching.session import TeachingSession

MAX_TYPED = 20_000
Number = Annotated[int, Meta(ge=0, le=2**31)]
Points = Annotated[list[tuple[Pixel, Pixel]], Meta(min_length=1, max_length=MAX_POINTS)]

VERDICTS = {"several": "several things", "skipped": "skipped"}


class Change(Request):
    """A change of the classes or answers."""

    def perform(self, session: TeachingSession) -> str:
        """Do it.

        Returns:
            A message for the user.

        Raises:
            UserError: it is not possible; nothing has changed.
        """
        raise NotImplementedError


class AddClasses(Change, tag="add_classes"):
    """Add classes; their names are separated by commas or line breaks."""

    names: Annotated[str, Meta(max_length=MAX_TYPED)]

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        names = names_in(self.names)
        if not names:
            raise UserError("Type the names of the classes you want, such as road, sky, car.")
        session.change(session.answers.with_classes(names))
        return f"Added {_listed(names)}."


class RenameClass(Change, tag="rename_class"):
    """Rename a class."""

    name: Name
    new: Name

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        session.change(session.answers.renamed(self.name, self.new))
        return f"Renamed {self.name} to {self.new.strip()}."


class RecolourClass(Change, tag="recolour_class"):
    """Change the colour of a class."""

    name: Name
    colour: tuple[Byte, Byte, Byte]

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        session.change(session.answers.recoloured(self.name, self.colour))
        return f"Changed the colour of {self.name}."


class RemoveClass(Change, tag="remove_class"):
    """Remove a class without answers."""

    name: Name

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        session.change(session.answers.without_class(self.name))
        return f"Removed {self.name}."


class GiveAnswer(Change, tag="answer"):
    """Answer the question that is shown."""

    question: Annotated[str, Meta(max_length=64)]
    verdict: Verdict
    name: Name = ""

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        question = session.question()
        if question is None or question_id(question) != self.question:
            raise UserError("This question was answered already; here is the next one.")
        return f"Saved: {_said(session.answer(question, self.verdict, _name(self)))}."


class DrawAnswer(Change, tag="draw"):
    """Say which class a click or a stroke is; its points are pixels of the original image."""

    image: Annotated[str, Meta(max_length=4096)]
    name: Name
    points: Points

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        index = next(
            (at for at, image in enumerate(session.images) if image.name == self.image), None
        )
        if index is None:
            raise UserError(f"{self.image}: no longer among the images")
        session.draw(index, self.points, self.name)
        return f"Saved: {self.name} in {self.image}."


class UndoAnswer(Change, tag="undo_answer"):
    """Take back the last answer."""

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        return f"Undone: {_said(session.undo())}."


class RedoAnswer(Change, tag="redo_answer"):
    """Give the answer again that was taken back last."""

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        session.change(session.answers.redo())
        return f"Redone: {_said(session.answers.answers[-1])}."


class ChangeAnswer(Change, tag="change_answer"):
    """Change what an answer says."""

    index: Number
    verdict: Verdict
    name: Name = ""

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        _check_revision(self, session)
        session.change(session.answers.with_verdict(self.index, self.verdict, _name(self)))
        return f"Answer {self.index + 1} is now {_said(session.answers.answers[self.index])}."


class RemoveAnswer(Change, tag="remove_answer"):
    """Remove an answer."""

    index: Number

    def perform(self, session: TeachingSession) -> str:
        """See :class:`Change`."""
        _check_revision(self, session)
        session.change(session.answers.without_answer(self.index))
        return f"Removed answer {self.index + 1}."


class OpenStrip(Request, tag="strip"):
    """Show other images with their masks."""

    page: int


class ListAnswers(Request, tag="list_answers"):
    """Show a page of the list of answers, or close the list."""

    page: int
    show: Literal["yes", "no"] = "yes"


Changes = (
    AddClasses
    | RenameClass
    | RecolourClass
    | RemoveClass
    | GiveAnswer
    | DrawAnswer
    | UndoAnswer
    | RedoAnswer
    | ChangeAnswer
    | RemoveAnswer
)
Turn = OpenStrip | ListAnswers
TeachingRequest = Changes | Turn


def names_in(text: str) -> list[str]:
    r"""Return the class names that a person typed.

    Example:
        >>> names_in("road, sky\n traffic light;,")
        ['road', 'sky', 'traffic light']
    """
    return [each.strip() for each in re.split(r"[,;\n]", text) if each.strip()]


def question_id(question: Question) -> str:
    """Return what tells a question from others."""
    return hashlib.blake2b(question.cells.tobytes(), digest_size=8).hexdigest()


def revision_of_answers(answers: Answers) -> str:
    """Return what changes with the classes and answers; a page with another has other indices."""
    return hashlib.blake2b(repr(answers).encode(), digest_size=8).hexdigest()


def _check_revision(request: Request, session: TeachingSession) -> None:
    """Check that the page that sent an index has counted the same answers."""
    if request.revision != revision_of_answers(session.answers):
        raise UserError("The answers were changed elsewhere; check them and try again.")


def _name(request: GiveAnswer | ChangeAnswer) -> str:
    return request.name if request.verdict == "class" else ""


def _said(answer: Answer) -> str:
    return answer.name or VERDICTS[answer.verdict]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
