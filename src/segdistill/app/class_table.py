"""The table of classes, with examples and pixel shares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.api.classes import class_shares
from segdistill.app.live_run import LiveRun
from segdistill.app.tree import TreeDrawing
from segdistill.clustering.proposals import proposals_for
from segdistill.decoding.decode import UnreadableImageError
from segdistill.images.finding import ImageFile
from segdistill.images.palette import css_colour
from segdistill.inference.samples import Sample, class_pixels, shares_of
from segdistill.model.class_sets import ClassSets
from segdistill.report.data_uri import image_uri
from segdistill.report.examples import choose_examples, example_picture
from segdistill.report.text import merge_reason, percent

KEPT_EXAMPLES = 512

Progress = Callable[[int, int], None]
"""Called with the number of images segmented so far, and the total number."""


def no_progress(_done: int, _of: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Example:
    """An example crop of a class.

    Attributes:
        url: URL of the crop.
        file: name of the image file.
    """

    url: str
    file: str


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        index: index of the class.
        name: name given by the user; empty if unnamed.
        number: default name.
        colour: CSS colour.
        hidden: whether the class is hidden in overlays and exports.
        share: formatted pixel share; empty if unknown.
        bar: length of the bar, 0..1.
        clusters: number of clusters in the class.
        examples: example crops.
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
    def display_name(self) -> str:
        """The name, or the default name."""
        return self.name or self.number


@dataclass(frozen=True)
class LevelButton:
    """A button that selects a level.

    Attributes:
        name: ``coarse``, ``medium`` or ``fine``.
        count: number of classes.
        in_use: whether this is the current level.
    """

    name: str
    count: int
    in_use: bool


@dataclass(frozen=True)
class ProposedMerge:
    """A suggestion to merge two classes.

    Attributes:
        rows: table rows of the two classes.
        indices: indices of the two classes.
        reason: reason for the suggestion, as a sentence.
    """

    rows: tuple[Row, Row]
    indices: tuple[int, int]
    reason: str


@dataclass(frozen=True)
class ClassesView:
    """Content of the class tab.

    Attributes:
        rows: one row per class.
        shares_of: what the shares are measured on; empty if they are unknown.
        revision: revision of the class indices; edits with another revision are rejected.
        can_undo: whether undo is possible.
        can_redo: whether redo is possible.
        most: maximum number of classes; 0 if the model has no prototypes.
        tree: merge tree; ``None`` if the model has no prototypes.
        levels: available levels; empty for older models.
        proposals: suggested merges, most likely first.
        message: result of the last edit, or an error.
        failed: whether the message is an error.
    """

    rows: list[Row]
    shares_of: str
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
    """Builds the rows of the table, and caches examples of unchanged classes.

    Args:
        run: the run.
        files: images to take examples from.
    """

    def __init__(self, run: LiveRun, files: Sequence[ImageFile]) -> None:
        self._run = run
        self._files = files
        self._examples: dict[tuple[object, ...], list[Example]] = {}

    def rows(self, progress: Progress = no_progress) -> list[Row]:
        """Return one row per class.

        Args:
            progress: called with the number of images segmented so far, and the total number.
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
            if key not in self._examples:
                self._examples[key] = _examples_of(each.index, samples, masks, pixels)
            share = None if shares is None else float(shares[each.index])
            largest = 1.0 if shares is None else max(float(shares.max()), 1e-9)
            rows.append(
                Row(
                    index=each.index,
                    name=each.name if each.is_named else "",
                    number=f"class {each.index}",
                    colour=css_colour(each.colour),
                    hidden=each.hidden,
                    share="" if share is None else percent(share),
                    bar=0.0 if share is None else round(share / largest, 4),
                    clusters=len(each.members),
                    examples=self._examples[key],
                )
            )
        for oldest in list(self._examples)[:-KEPT_EXAMPLES]:
            del self._examples[oldest]
        return rows

    def _samples(self, progress: Progress) -> list[Sample]:
        samples = []
        for number, file in enumerate(self._files):
            progress(number, len(self._files))
            try:
                samples.append(self._run.sample(file))
            except UnreadableImageError:
                # Reported in the gallery.
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
    """Return the levels of a run."""
    levels = sets.current.levels
    if levels is None:
        return []
    in_use = levels.level_of(sets.current.classes)
    return [LevelButton(name, count, name == in_use) for name, count in levels.counts.items()]


def proposed_merges(sets: ClassSets, rows: Sequence[Row]) -> list[ProposedMerge]:
    """Return the suggested merges.

    Args:
        sets: class sets of a run folder.
        rows: rows of the current classes, in index order.
    """
    return [
        ProposedMerge(
            (rows[each.classes[0]], rows[each.classes[1]]), each.classes, merge_reason(each)
        )
        for each in proposals_for(sets.prototypes, sets.code_maps, sets.current)
    ]
