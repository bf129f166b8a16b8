"""A teaching session: the images, the answers so far, and what follows from them."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.model.description import SegmentClass
from segdistill.teaching.answers import Answer, Answers, Region, Stroke, Verdict
from segdistill.teaching.cells import CellPool, Cells
from segdistill.teaching.classifier import LinearClassifier, fit_classifier
from segdistill.teaching.estimate import Estimate, cross_validate
from segdistill.teaching.examples import Examples, contradictions, examples_of, pool_cells
from segdistill.teaching.questions import (
    FIRST_ROUND,
    LATER_ROUND,
    Question,
    by_importance,
    plan_round,
    shares_of_cells,
    uncertainty,
)

CELLS_PER_ANSWER = 64
CELLS_PER_CLUSTER = 64
SHARE_POWER = 0.5
LEAST_SHARE = 1e-3
"""An answer weighs as this power of the share of cells most like its place, plus the least share.
Otherwise uncertain places, which are asked about most, would count for more than they are."""

RECENT = 20
"""Answers whose effect on the masks is reported."""

Shares = TypeVar("Shares", float, NDArray[np.float64])


@dataclass(frozen=True)
class TaughtImage:
    """An image that can be asked about.

    Attributes:
        name: name within its folder.
        width: width of the upright image, in pixels.
        height: height of it.
        digest: fingerprint of its content.
    """

    name: str
    width: int
    height: int
    digest: str


@dataclass(frozen=True)
class Unused:
    """An answer that is kept, but not learned from.

    Attributes:
        index: index of the answer.
        reason: why.
    """

    index: int
    reason: str


class TeachingSession:
    """Asks questions, takes answers, and makes a classifier from them.

    Args:
        images: the images, in the order of the pool's.
        pool: the cells of the images.
        clusters: the class of the run that each cell belongs to, shape (cells,).
        untaught: the run's classes that stay as they are where nothing has been taught; none
            where every cell should get a taught class.
        answers: the answers so far.
        keep: called with the answers after each change, to store them.
    """

    def __init__(
        self,
        images: Sequence[TaughtImage],
        pool: CellPool,
        clusters: NDArray[np.int64],
        untaught: Sequence[SegmentClass],
        answers: Answers,
        keep: Callable[[Answers], None],
    ) -> None:
        self.images = list(images)
        self.pool = pool
        self._index = {image.name: index for index, image in enumerate(self.images)}
        self._clusters = clusters
        self._run_classes = list(untaught)
        self._keep = keep
        self._answers = answers
        self._places: dict[Answer, Cells | None] = {}
        self._classifier: LinearClassifier | None = None
        self._planned: list[Question] = []
        self._round_began = 0
        self._round_ends = 0
        self._again: Question | None = None
        self._questions: dict[Answer, Question] = {}

    @property
    def answers(self) -> Answers:
        """The classes and the answers so far."""
        return self._answers

    def change(self, answers: Answers) -> None:
        """Replace the classes and the answers, and store them.

        Raises:
            UserError: they cannot be written; the session is unchanged.
        """
        self._keep(answers)
        self.adopt(answers)

    def adopt(self, answers: Answers) -> None:
        """Take over classes and answers that are stored already."""
        if answers.answers != self._answers.answers or answers.names != self._answers.names:
            self._classifier = None
        self._answers = answers

    def undo(self) -> Answer:
        """Take back the last answer; if it answered a question of this session, ask it again.

        Raises:
            UserError: there is none, or the change cannot be stored.
        """
        self.change(self.answers.undo())
        undone = self.answers.undone[-1]
        if undone in self._questions:
            self._again = self._questions[undone]
        return undone

    def snapshot(self) -> "TeachingSession":
        """Return a copy that later changes do not affect, for slow work in another thread."""
        copied = copy(self)
        copied._places = dict(self._places)  # noqa: SLF001 - of the same class
        copied._planned = list(self._planned)  # noqa: SLF001
        copied._questions = dict(self._questions)  # noqa: SLF001
        return copied

    def question(self) -> Question | None:
        """Return the most important region that has not been answered; ``None`` if none is left."""
        asked, count = self._asked(), len(self.answers.answers)
        learned = self.classifier if self.is_taught else None
        left = [
            each
            for each in self._planned
            if each is not self._again and not asked[each.cells].any()
        ]
        if not left or count >= self._round_ends or count < self._round_began:
            left = plan_round(self.pool, learned, asked, seed=count)
            self._round_began = count
            self._round_ends = max(FIRST_ROUND, count + LATER_ROUND)
        self._planned = by_importance(left, self.pool, learned)
        if self._again is not None and not asked[self._again.cells].any():
            self._planned.insert(0, self._again)
        return self._planned[0] if self._planned else None

    @property
    def upcoming(self) -> Question | None:
        """The question planned after the current one; ``None`` if none is yet."""
        return self._planned[1] if len(self._planned) > 1 else None

    def answer(self, question: Question, verdict: Verdict, name: str = "") -> Answer:
        """Answer a question.

        Raises:
            UserError: there is no such class, or the answer cannot be stored.
        """
        image = int(self.pool.image_of(question.cells[:1])[0])
        inside = np.zeros(self.pool.grids[image], np.bool_)
        inside.flat[question.cells - self.pool.starts[image]] = True
        given = self._answer(image, verdict, name, region=Region.of(inside))
        self.change(self.answers.with_answer(given))
        self._questions[given] = question
        return given

    def draw(self, image: int, points: Sequence[tuple[float, float]], name: str) -> Answer:
        """Say which class a click or a stroke in an image is.

        Args:
            image: index of the image.
            points: x and y of the points in pixels; one point is a click.
            name: the class.

        Raises:
            UserError: a point lies outside the image, there is no such class, or the answer cannot
                be stored.
        """
        self.answers.require(name)
        known = self.images[image]
        if not all(0 <= x < known.width and 0 <= y < known.height for x, y in points):
            raise UserError(
                f"{known.name}: a click outside the image, which is {known.width} x {known.height}"
                " pixels"
            )
        given = self._answer(image, "class", name, stroke=Stroke(tuple(points)))
        self.change(self.answers.with_answer(given))
        return given

    @property
    def classes(self) -> tuple[SegmentClass, ...]:
        """The taught classes, followed by the run's classes that stay as they are."""
        taught = [
            SegmentClass(index, each.name, each.colour)
            for index, each in enumerate(self.answers.classes)
        ]
        rest = [
            replace(self._run_classes[cluster].at(len(taught) + place), clusters=())
            for place, cluster in enumerate(self._untaught())
        ]
        names = {each.name.casefold() for each in taught}
        return (
            *taught,
            *(
                replace(each, name=f"{each.name} (not taught)")
                if each.name.casefold() in names
                else each
                for each in rest
            ),
        )

    @property
    def classifier(self) -> LinearClassifier:
        """The classifier of cells into :attr:`classes`, made from the answers."""
        if self._classifier is None:
            self._classifier = self._fit(self.answers.answers)
        return self._classifier

    def logits(self, image: int) -> torch.Tensor:
        """Return the logits of an image's cells, shape (1, classes, height, width)."""
        height, width = self.pool.grids[image]
        cells = self.classifier.logits(self.pool.features[self.pool.cells_of(image)])
        return cells.mT.reshape(1, -1, height, width)  # (cells, classes) -> (1, classes, h, w)

    def estimate(self) -> Estimate | None:
        """Return how good the masks are, by answers held back in turn; ``None`` if unknown."""
        count = len(self.answers.classes)
        places = [self._place(each) for each in self.answers.answers if each.verdict == "several"]
        answers = self.answers.answers
        return cross_validate(
            self.pool,
            self._weighted(self._examples(answers), answers),
            [cells for cells in places if cells is not None and len(cells)],
            lambda examples: self._fit_examples(examples, count),
        )

    def recent_change(self) -> float | None:
        """Return the share of cells whose class the last answers changed; ``None`` if too few."""
        answers = self.answers.answers
        if len(answers) < 2 * RECENT:
            return None
        before = self._fit(answers[:-RECENT])
        if before.weight.shape != self.classifier.weight.shape:
            return None
        (_, former), (_, now) = (
            uncertainty(each, self.pool.features) for each in (before, self.classifier)
        )
        valid = torch.from_numpy(self.pool.valid)
        return float((former != now)[valid].float().mean())

    def unused(self) -> list[Unused]:
        """Return the answers that are not learned from, and why."""
        found = []
        places = [self._place(each) for each in self.answers.answers]
        overruled = contradictions(self.answers.answers, places)
        for index, (answer, place) in enumerate(zip(self.answers.answers, places, strict=True)):
            if place is None:
                found.append(Unused(index, self._why_not(answer)))
            elif not len(place):
                found.append(Unused(index, "no pixel there has a value"))
            elif index in overruled:
                later = self.answers.answers[overruled[index]]
                found.append(Unused(index, f"answer {overruled[index] + 1} says {later.name}"))
        return found

    def guess(self, cells: Cells) -> str:
        """Return the likeliest class of a region; empty if it is none that was taught."""
        if not self.is_taught:
            return ""
        logits = self.classifier.logits(self.pool.features[torch.from_numpy(cells)])
        best = int(logits.softmax(dim=1).mean(dim=0).argmax())
        names = self.answers.names
        return names[best] if best < len(names) else ""

    def _answer(
        self,
        image: int,
        verdict: Verdict,
        name: str,
        *,
        region: Region | None = None,
        stroke: Stroke | None = None,
    ) -> Answer:
        known = self.images[image]
        time = datetime.now(UTC).isoformat(timespec="seconds")
        return Answer(
            *(known.name, known.width, known.height, time),
            region=region,
            stroke=stroke,
            verdict=verdict,
            name=name,
            digest=known.digest,
        )

    @property
    def is_taught(self) -> bool:
        """Whether any answer names a class of cells that are known."""
        return bool(len(self._examples(self.answers.answers).cells))

    def _asked(self) -> NDArray[np.bool_]:
        asked = np.zeros(len(self.pool.valid), np.bool_)
        for answer in self.answers.answers:
            place = self._place(answer)
            if place is not None and answer.region is not None:
                asked[place] = True
        return asked

    def _place(self, answer: Answer) -> Cells | None:
        if answer not in self._places:
            image = self._index.get(answer.image)
            known = image is not None and self._is_same(answer, image)
            cells = pool_cells(answer, self.pool, image) if known and image is not None else None
            self._places[answer] = cells
        return self._places[answer]

    def _is_same(self, answer: Answer, image: int) -> bool:
        known = self.images[image]
        return not answer.digest or answer.digest == known.digest

    def _why_not(self, answer: Answer) -> str:
        if answer.image not in self._index:
            return f"{answer.image} is not among the images"
        return f"{answer.image} has changed since"

    def _examples(self, answers: Sequence[Answer]) -> Examples:
        numbers: Mapping[str, int] = {name: n for n, name in enumerate(self.answers.names)}
        thinned = [_thinned(self._place(each), CELLS_PER_ANSWER) for each in answers]
        return examples_of(answers, thinned, numbers)

    def _untaught(self) -> list[int]:
        """Return the run's classes in which no answer lies mostly."""
        if not self._run_classes:
            return []
        examples = self._examples(self.answers.answers)
        taught = set()
        for answer in np.unique(examples.answers):
            own = self._clusters[examples.cells[examples.answers == answer]]
            taught.add(int(np.bincount(own).argmax()))
        present = np.unique(self._clusters[self.pool.valid]).tolist()
        return [each for each in present if each not in taught]

    def _fit(self, answers: Sequence[Answer]) -> LinearClassifier:
        untaught = self._untaught()
        count = len(self.answers.classes)
        examples = self._weighted(self._examples(answers), answers)
        for place, cluster in enumerate(untaught):
            examples = _joined(examples, self._cluster_examples(cluster, count + place))
        return replace(self._fit_examples(examples, count + len(untaught)), taught=count)

    def _weighted(self, examples: Examples, answers: Sequence[Answer]) -> Examples:
        """Return examples weighted by the share of cells that are most like each answer's place."""
        places = {n: self._place(each) for n, each in enumerate(answers)}
        known = {
            n: place
            for n, place in places.items()
            if place is not None and len(place) and answers[n].verdict != "skipped"
        }
        if not known:
            return examples
        importance = np.ones(len(answers))
        importance[list(known)] = _importance(shares_of_cells(self.pool, list(known.values())))
        weights = examples.weights * importance[examples.answers]
        return replace(examples, weights=weights.astype(np.float32))

    def _fit_examples(self, examples: Examples, classes: int) -> LinearClassifier:
        if not len(examples.cells):
            count, channels = max(classes, 1), self.pool.features.shape[1]
            return LinearClassifier(torch.zeros(count, channels), torch.zeros(count))
        return fit_classifier(
            self.pool.features[torch.from_numpy(examples.cells)],
            examples.targets(classes),
            torch.from_numpy(examples.weights),
        )

    def _cluster_examples(self, cluster: int, index: int) -> Examples:
        """Return cells of a cluster that stays as it is, spread over the images."""
        own = np.flatnonzero((self._clusters == cluster) & self.pool.valid)
        cells = own[np.linspace(0, len(own) - 1, min(len(own), CELLS_PER_CLUSTER)).astype(int)]
        size = len(cells)
        share = len(own) / max(int(self.pool.valid.sum()), 1)
        weights = np.full(size, size**-0.5 * _importance(share), np.float32)
        return Examples(cells, np.full(size, index), weights, np.full(size, -1))


def _importance(shares: Shares) -> Shares:
    importance: Shares = (shares + LEAST_SHARE) ** SHARE_POWER
    return importance


def _thinned(cells: Cells | None, most: int) -> Cells | None:
    """Return cells spread evenly over a place; more of them would say the same."""
    if cells is None or len(cells) <= most:
        return cells
    chosen: Cells = cells[np.linspace(0, len(cells) - 1, most).astype(int)]
    return chosen


def _joined(one: Examples, other: Examples) -> Examples:
    return Examples(
        np.concatenate([one.cells, other.cells]),
        np.concatenate([one.classes, other.classes]),
        np.concatenate([one.weights, other.weights]),
        np.concatenate([one.answers, other.answers]),
    )
