"""What a person taught: class names, and answers about places in images.

Answers are data beside the model. They name images and pixels, never features or clusters, so that
they survive another fit on the same images, with any backbone and resolution.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.palette import Colour, distinct_colours
from segdistill.model.description import Byte, Name

MAX_CLASSES = 255
MAX_POINTS = 10_000
MAX_CELLS = 2**22
LONGEST_NAME = 80

Verdict = Literal["class", "several", "skipped"]
Pixel = Annotated[float, Meta(ge=0, le=2**31)]
Side = Annotated[int, Meta(ge=1, le=2**31)]
GridSide = Annotated[int, Meta(ge=1, le=2**16)]
Run = Annotated[int, Meta(ge=0, le=2**32)]


@dataclass(frozen=True)
class Stroke:
    """A click or a line drawn by hand.

    Attributes:
        points: x and y of its points, in pixels of the upright image from its top left corner; one
            point is a click.
    """

    points: Annotated[tuple[tuple[Pixel, Pixel], ...], Meta(min_length=1, max_length=MAX_POINTS)]


@dataclass(frozen=True)
class Region:
    """Cells of a grid that covers an image.

    Attributes:
        height: height of the grid, in cells.
        width: width of the grid, in cells.
        runs: lengths of alternating runs of cells outside and inside the region, in row-major
            order, the first one outside.

    Example:
        >>> Region.of(np.array([[False, True], [True, False]])).runs
        (1, 2, 1)
    """

    height: GridSide
    width: GridSide
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        """Check that the runs fill the grid.

        Raises:
            ValueError: they do not, or no cell lies inside, or there are too many cells.
        """
        if self.height * self.width > MAX_CELLS:
            raise ValueError(f"a region in a grid of more than {MAX_CELLS} cells")
        if sum(self.runs) != self.height * self.width:
            raise ValueError("the runs of a region do not fill its grid")
        if not sum(self.runs[1::2]):
            raise ValueError("a region without cells")

    @classmethod
    def of(cls, inside: NDArray[np.bool_]) -> "Region":
        """Return the region of the cells that are true, shape (height, width)."""
        flat = np.concatenate([[False], inside.ravel(), [not inside.ravel()[-1]]])
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(changes, prepend=0)
        return cls(inside.shape[0], inside.shape[1], tuple(runs.tolist()))

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which cells belong to the region, shape (height, width)."""
        values = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(values, self.runs).reshape(self.height, self.width)


@dataclass(frozen=True)
class Answer:
    """What a person said about a place in an image.

    Attributes:
        image: name of the image within its folder, with ``/`` between folders.
        width: width of the upright image when the answer was given, in pixels.
        height: height of it.
        time: when the answer was given, in UTC, as ISO 8601.
        region: the place, if it was a region that was asked about.
        stroke: the place, if it was a click or a stroke.
        verdict: ``class``, ``several`` (several things, none named) or ``skipped``.
        name: the class; empty unless the verdict is ``class``.
        digest: fingerprint of the image's content; empty if unknown.
    """

    image: Annotated[str, Meta(min_length=1, max_length=4096)]
    width: Side
    height: Side
    time: Annotated[str, Meta(max_length=40)]
    region: Region | None = None
    stroke: Stroke | None = None
    verdict: Verdict = "class"
    name: Name = ""
    digest: Annotated[str, Meta(max_length=128)] = ""

    def __post_init__(self) -> None:
        """Check that the parts agree.

        Raises:
            ValueError: not exactly one place, or a name without the verdict ``class``, or a place
                outside the image.
        """
        if (self.region is None) == (self.stroke is None):
            raise ValueError("an answer has either a region or a stroke")
        if bool(self.name) != (self.verdict == "class"):
            raise ValueError("an answer has a name if and only if its verdict is a class")
        if self.stroke is not None and any(
            x >= self.width or y >= self.height for x, y in self.stroke.points
        ):
            raise ValueError("a point lies outside the image")


@dataclass(frozen=True)
class TaughtClass:
    """A class that a person wants.

    Attributes:
        name: the name.
        colour: red, green and blue, 0..255.
    """

    name: Name
    colour: tuple[Byte, Byte, Byte]


@dataclass(frozen=True)
class Answers:
    """The classes and answers of a run, in the order in which they were given.

    All methods return changed copies.

    Attributes:
        classes: the classes.
        answers: the answers.
        undone: answers that were taken back, the latest last.
    """

    classes: Annotated[tuple[TaughtClass, ...], Meta(max_length=MAX_CLASSES)] = ()
    answers: tuple[Answer, ...] = ()
    undone: tuple[Answer, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the classes, in order."""
        return [each.name for each in self.classes]

    def with_classes(self, names: Iterable[str]) -> "Answers":
        """Add classes, in colours of their own.

        Raises:
            UserError: a name is empty, too long, or given twice or exists already.
        """
        changed = self
        for name in names:
            new = checked_name(name, changed.names)
            if len(changed.classes) == MAX_CLASSES:
                raise UserError(f"{new}: there are already {MAX_CLASSES} classes, the maximum")
            colour = free_colour([each.colour for each in changed.classes])
            changed = replace(changed, classes=(*changed.classes, TaughtClass(new, colour)))
        return changed

    def with_new_classes(self, names: Iterable[str]) -> "Answers":
        """Add those classes that are not known by name; otherwise like :meth:`with_classes`."""
        known = {each.casefold() for each in self.names}
        return self.with_classes(name for name in names if name.strip().casefold() not in known)

    def renamed(self, name: str, new: str) -> "Answers":
        """Rename a class, and its answers.

        Raises:
            UserError: there is no such class, or the new name is empty or that of another class.
        """
        self.require(name)
        new = checked_name(new, [each for each in self.names if each != name])

        def renamed(given: Sequence[Answer]) -> tuple[Answer, ...]:
            return tuple(replace(a, name=new) if a.name == name else a for a in given)

        return Answers(
            tuple(replace(c, name=new) if c.name == name else c for c in self.classes),
            renamed(self.answers),
            renamed(self.undone),
        )

    def recoloured(self, name: str, colour: Colour) -> "Answers":
        """Change the colour of a class.

        Raises:
            UserError: there is no such class.
        """
        self.require(name)
        return replace(
            self,
            classes=tuple(replace(c, colour=colour) if c.name == name else c for c in self.classes),
        )

    def without_class(self, name: str) -> "Answers":
        """Remove a class that no answer names.

        Raises:
            UserError: there is no such class, or answers name it.
        """
        self.require(name)
        count = sum(each.name == name for each in self.answers)
        if count:
            raise UserError(
                f"{name}: {count} {'answer names' if count == 1 else 'answers name'} this class;"
                " change or remove them first"
            )
        return replace(
            self,
            classes=tuple(each for each in self.classes if each.name != name),
            undone=tuple(each for each in self.undone if each.name != name),
        )

    def with_answer(self, answer: Answer) -> "Answers":
        """Add an answer.

        Raises:
            UserError: there is no class of its name.
        """
        if answer.verdict == "class":
            self.require(answer.name)
        return replace(self, answers=(*self.answers, answer), undone=())

    def with_verdict(self, index: int, verdict: Verdict, name: str = "") -> "Answers":
        """Change what an answer says.

        Raises:
            UserError: there is no such answer or class.
        """
        self._require_answer(index)
        if verdict == "class":
            self.require(name)
        changed = list(self.answers)
        changed[index] = replace(changed[index], verdict=verdict, name=name)
        return replace(self, answers=tuple(changed))

    def without_answer(self, index: int) -> "Answers":
        """Take back an answer; :meth:`redo` gives it again.

        Raises:
            UserError: there is no such answer.
        """
        self._require_answer(index)
        kept = self.answers[:index] + self.answers[index + 1 :]
        return replace(self, answers=kept, undone=(*self.undone, self.answers[index]))

    def undo(self) -> "Answers":
        """Take back the last answer.

        Raises:
            UserError: there is none.
        """
        if not self.answers:
            raise UserError("no answer to undo")
        return self.without_answer(len(self.answers) - 1)

    def redo(self) -> "Answers":
        """Give the answer again that was taken back last.

        Raises:
            UserError: there is none.
        """
        if not self.undone:
            raise UserError("no answer was undone; nothing to redo")
        again = self.undone[-1]
        return replace(self, answers=(*self.answers, again), undone=self.undone[:-1])

    def require(self, name: str) -> None:
        """Check that there is a class of a name.

        Raises:
            UserError: there is none.
        """
        if name not in self.names:
            known = ", ".join(self.names) or "none yet"
            raise UserError(f"{name}: no such class; the classes are: {known}")

    def _require_answer(self, index: int) -> None:
        if not 0 <= index < len(self.answers):
            raise UserError(f"no answer {index + 1}; there are {len(self.answers)}")


def checked_name(name: str, taken: Iterable[str]) -> str:
    """Return a class name without surrounding or repeated blanks.

    Raises:
        UserError: it is empty, too long, not printable, or taken.

    Example:
        >>> checked_name("  traffic   light ", [])
        'traffic light'
    """
    plain = re.sub(r"\s+", " ", name).strip()
    if not plain:
        raise UserError("a class needs a name; type one")
    if len(plain) > LONGEST_NAME:
        raise UserError(f"{plain[:LONGEST_NAME]}...: longer than {LONGEST_NAME} characters")
    if not plain.isprintable():
        raise UserError(f"{plain!a}: the name must consist of printable characters")
    if plain.casefold() in {each.casefold() for each in taken}:
        raise UserError(f"{plain}: a class with this name already exists")
    return plain


def free_colour(taken: Sequence[Colour]) -> Colour:
    """Return the first distinct colour that is not taken."""
    return next(each for each in distinct_colours(len(taken) + 1) if each not in taken)
