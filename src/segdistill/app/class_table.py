"""The table of classes: what each looks like, how much of the images it covers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.api.classes import class_shares
from segdistill.app.live_run import LiveRun
from segdistill.app.recent import Recent
from segdistill.app.tree import TreeDrawing
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import ImageFile
from segdistill.inference.samples import Sample, class_pixels, shares_of
from segdistill.model.class_sets import ClassSets
from segdistill.model.description import SegmentClass
from segdistill.report.data_uri import css_colour, image_uri
from segdistill.report.examples import choose_examples, example_picture
from segdistill.report.text import merge_reason, percent
from segdistill.training.proposals import proposals_for

KEPT_EXAMPLES = 512

Progress = Callable[[int, int], None]
"""Is called with the number of images segmented so far, and of all."""


def no_progress(_done: int, _of: int) -> None:
    """Tell nobody how far it is."""


@dataclass(frozen=True)
class Example:
    """A picture of a class.

    Attributes:
        address: of the picture.
        file: name of the image that it was cut from.
    """

    address: str
    file: str


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        index: of the class.
        name: of the class; empty until somebody names it.
        number: what it is called as long as it has no name.
        colour: as style sheets write it.
        hidden: whether it is left out of overlays and exports.
        share: in words; empty where it is not known.
        bar: length of the bar, from 0 to 1.
        clusters: number of clusters that it is made of.
        examples: what it looks like.
    """

    index: int
    name: str
    number: str
    colour: str
    hidden: bool
    share: str
    bar: float
    clusters: int
    examples: list[Example]

    @property
    def called(self) -> str:
        """Its name, or its number."""
        return self.name or self.number


@dataclass(frozen=True)
class LevelButton:
    """A level that can be chosen.

    Attributes:
        name: ``coarse``, ``medium`` or ``fine``.
        count: number of its classes.
        in_use: whether its classes are in use.
    """

    name: str
    count: int
    in_use: bool


@dataclass(frozen=True)
class ProposedMerge:
    """Two classes that are likely to be one kind of thing.

    Attributes:
        rows: of the two classes, with their examples.
        indices: of the two classes.
        reason: why they may be the same, as a sentence.
    """

    rows: tuple[Row, Row]
    indices: tuple[int, int]
    reason: str


@dataclass(frozen=True)
class ClassesView:
    """What is shown of the classes.

    Attributes:
        rows: one for each class.
        revision: of the numbering; changes that name another are refused.
        can_undo: whether there is something to undo.
        can_redo: whether there is something to redo.
        most: largest number of classes that can be asked for; 0 if the model keeps no codes.
        tree: of the classes; ``None`` if the model keeps no codes.
        levels: that can be chosen; none for older models.
        proposals: classes to merge, the likeliest first.
        message: what was done, or what went wrong.
        failed: whether it went wrong.
    """

    rows: list[Row]
    revision: str
    can_undo: bool
    can_redo: bool
    most: int
    tree: TreeDrawing | None
    levels: Sequence[LevelButton] = ()
    proposals: Sequence[ProposedMerge] = ()
    message: str = ""
    failed: bool = False


class ClassTable:
    """Makes the rows of the table, and keeps examples of classes that have not changed.

    Args:
        run: whose classes.
        files: images in which examples are looked for.
    """

    def __init__(self, run: LiveRun, files: Sequence[ImageFile]) -> None:
        self._run = run
        self._files = files
        self._examples: Recent[tuple[object, ...], list[Example]] = Recent(KEPT_EXAMPLES)

    def rows(self, progress: Progress = no_progress) -> list[Row]:
        """Return a row for each class.

        Args:
            progress: called with the number of images segmented so far, and of all.
        """
        sets = self._run.sets
        classes = sets.current.classes
        wanted = [(self._run.fit, sets.current.tensor, each.members) for each in classes]
        samples: list[Sample] = []
        if any(key not in self._examples for key in wanted) or sets.prototypes is None:
            samples = self._samples(progress)
        masks = [sample.mask for sample in samples]
        pixels = class_pixels(masks, len(classes))
        shares = class_shares(self._run.folder)
        if shares is None and samples:
            shares = shares_of(pixels.sum(axis=0))
        rows = []
        for each, key in zip(classes, wanted, strict=True):

            def find(each: SegmentClass = each) -> list[Example]:
                return _examples_of(each.index, samples, masks, pixels)

            share = None if shares is None else float(shares[each.index])
            largest = 1.0 if shares is None else max(float(shares.max()), 1e-9)
            rows.append(
                Row(
                    index=each.index,
                    name=each.name if each.is_named else "",
                    number=f"class {each.index}",
                    colour=css_colour(each),
                    hidden=each.hidden,
                    share="" if share is None else percent(share),
                    bar=0.0 if share is None else round(share / largest, 4),
                    clusters=len(each.members),
                    examples=self._examples.get(key, find),
                )
            )
        return rows

    def _samples(self, progress: Progress) -> list[Sample]:
        samples = []
        for number, file in enumerate(self._files):
            progress(number, len(self._files))
            try:
                samples.append(self._run.sample(file))
            except UnreadableImageError:
                # The gallery says so.
                continue
        return samples


def _examples_of(
    index: int,
    samples: Sequence[Sample],
    masks: Sequence[NDArray[np.uint8]],
    pixels: NDArray[np.int64],
) -> list[Example]:
    return [
        Example(
            image_uri(example_picture(samples[window.sample], window, index)),
            samples[window.sample].file.name.as_posix(),
        )
        for window in choose_examples(masks, pixels, index)
    ]


def level_buttons(sets: ClassSets) -> list[LevelButton]:
    """Return the levels that a run's classes can be changed to."""
    levels = sets.current.levels
    if levels is None:
        return []
    in_use = levels.level_of(sets.current.classes)
    return [LevelButton(name, count, name == in_use) for name, count in levels.counts.items()]


def proposed_merges(sets: ClassSets, rows: Sequence[Row]) -> list[ProposedMerge]:
    """Return the pairs of classes that are likely to be one kind of thing.

    Args:
        sets: classes of a run folder.
        rows: of the classes in use, in the order of their indices.
    """
    return [
        ProposedMerge(
            (rows[each.classes[0]], rows[each.classes[1]]), each.classes, merge_reason(each)
        )
        for each in proposals_for(sets.prototypes, sets.code_maps, sets.current)
    ]
