"""Looking through all label files once, so that mistakes are found before any long work.

A class that is in no map, colours without a map or a lossy format in one of a thousand files would
otherwise stop an evaluation after hours, or skip just the files that matter.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segdistill.errors import UserError
from segdistill.images.palette import VOID
from segdistill.labels.label_files import LabelReader, as_numbers, listed_values
from segdistill.labels.label_map import PLAIN, UNLISTED, LabelMap, Runs
from segdistill.labels.label_pixels import NO_VALUE, Values, is_grey, read_label_pixels
from segdistill.labels.lossy_labels import BLOCK, CURE, FlatBlocks, shown
from segdistill.progress import progress_bar

logger = logging.getLogger("segdistill")

THREADS = 4
MOST_LISTED = 40
"""Maximum number of values in a message."""

MOST_VALUES = 2**16
"""Maximum number of different values counted of a file; label files have far fewer."""

SPARSE = 4
"""Ratio of the largest class number to the number of classes from which numbers are sparse."""

OPTION = "--label-map"
FILE_NAME = "labels.yaml"


@dataclass
class Survey:
    """The values of many label files.

    Attributes:
        numbers: pixels of each number.
        colours: pixels of each colour, given as 0xRRGGBB.
        lossy: flat blocks of files compressed with loss, by whether they hold colours.
        lossy_files: those files.
        files: number of files that could be read.
    """

    numbers: Counter[int] = field(default_factory=Counter)
    colours: Counter[int] = field(default_factory=Counter)
    lossy: dict[bool, FlatBlocks] = field(default_factory=dict)
    lossy_files: list[Path] = field(default_factory=list)
    files: int = 0

    def add(self, other: "Survey") -> None:
        """Add the values of other files."""
        self.numbers.update(other.numbers)
        self.colours.update(other.colours)
        for coloured, blocks in other.lossy.items():
            known = self.lossy.get(coloured)
            self.lossy[coloured] = blocks if known is None else known + blocks
        self.lossy_files += other.lossy_files
        self.files += other.files


def surveyed_reader(
    paths: Sequence[Path], label_map: LabelMap | None, *, where: str, progress: bool = False
) -> tuple[LabelReader, int]:
    """Look through label files; return their reader and the number of classes up to the largest.

    Files that cannot be read are left to those who need them.

    Args:
        paths: label files.
        label_map: what their values mean; by default numbers are class indices.
        where: what to call the files in messages, such as their folder.
        progress: show a progress bar.

    Raises:
        UserError: values are in no class (the message lists them and offers a map), or labels were
            compressed with loss and their values cannot be told apart.
    """
    label_map = label_map or PLAIN
    survey = survey_labels(paths, label_map, progress=progress)
    reader = LabelReader(label_map, _meant_numbers(survey, label_map, where))
    classes = 0
    unlisted: dict[bool, Counter[int]] = {}
    # Grey pictures with three channels hold numbers, unless others of the set hold colours.
    for coloured, counts in ((False, survey.numbers), (True, survey.colours)):
        values = np.array(sorted(counts), np.int64)
        found = label_map.classes_of(values, coloured=coloured)
        classes = max(classes, int(found[found != VOID].max(initial=-1)) + 1)
        missing = values[found == UNLISTED].tolist()
        if missing:
            unlisted[coloured] = Counter({value: counts[value] for value in missing})
    if unlisted:
        details = "" if label_map.source else proposed_map(survey)
        raise UserError(f"{where}: {_unlisted(survey, unlisted, label_map)}", details=details)
    if survey.lossy_files:
        _warn_of_loss(survey, reader, where)
    if not label_map.names:
        _warn_of_sparse(survey, label_map, where)
    return reader, len(label_map.names) or classes


def survey_labels(
    paths: Sequence[Path], label_map: LabelMap = PLAIN, *, progress: bool = False
) -> Survey:
    """Count the values of label files; those that cannot be read are left out."""

    def of_file(path: Path) -> Survey | None:
        try:
            return _survey_file(path, label_map)
        except UserError:
            return None  # it is skipped with a warning, or stops the work, when it is needed

    total = Survey()
    with (
        progress_bar("Reading labels", len(paths), shown=progress) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for found in pool.map(of_file, paths):
            if found is not None:
                total.add(found)
            advance(1)
    return total


def _survey_file(path: Path, label_map: LabelMap) -> Survey:
    pixels = read_label_pixels(path)
    if pixels.lossy:
        pixels = as_numbers(pixels)
        blocks = FlatBlocks.of(pixels.values)
        return Survey(lossy={pixels.coloured: blocks}, lossy_files=[path], files=1)
    values, coloured = label_map.seen(pixels)
    runs = Runs.of(values)
    order = np.argsort(-runs.counts, kind="stable")[:MOST_VALUES]
    counts = Counter(
        dict(zip(runs.values[order].tolist(), runs.counts[order].tolist(), strict=True))
    )
    counts.pop(NO_VALUE, None)
    return Survey(colours=counts, files=1) if coloured else Survey(numbers=counts, files=1)


def _meant_numbers(survey: Survey, label_map: LabelMap, where: str) -> Values | None:
    """Add what lossy files mean to the survey; return the numbers that were meant, if any."""
    numbers = None
    for coloured, blocks in survey.lossy.items():
        try:
            meant = blocks.meant(coloured=coloured)
        except UserError as error:
            first = survey.lossy_files[0].name
            raise UserError(f"{where}: label files (such as {first}) are {error}") from error
        listed = listed_values(label_map, coloured=coloured)
        if len(listed):
            near = np.abs(_channels(meant, coloured)[:, None] - _channels(listed, coloured))
            nearest = near.max(axis=2).argmin(axis=1)
            close = near.max(axis=2).min(axis=1) <= BLOCK
            named = np.where(close, listed[nearest], meant)
        else:
            named = meant
            numbers = meant if not coloured else numbers
        target = survey.colours if coloured else survey.numbers
        for value, name in zip(meant.tolist(), named.tolist(), strict=True):
            target[name] += blocks.counts[value] * BLOCK**2
    return numbers


def _channels(values: Values, coloured: bool) -> Values:
    if not coloured:
        return values[:, None]
    return np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1)


def _warn_of_loss(survey: Survey, reader: LabelReader, where: str) -> None:
    path = survey.lossy_files[0]
    try:
        stored, kept = as_numbers(read_label_pixels(path)), reader.pixels(path)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    changed = float((stored.values != kept.values).mean())
    values = np.unique(kept.values[kept.values != NO_VALUE])
    logger.warning(
        "%s: %d of %d label files use lossy compression (such as %s), which blurs the edges of"
        " classes; values were snapped to the nearest of %s (%.1f%% of the pixels of that file"
        " changed). Scores near edges are not exact; %s",
        where,
        len(survey.lossy_files),
        survey.files,
        path.name,
        shown(values, coloured=kept.coloured),
        100 * changed,
        CURE,
    )


def _warn_of_sparse(survey: Survey, label_map: LabelMap, where: str) -> None:
    """Tell of numbers that are probably not class indices."""
    counts = survey.numbers + Counter(
        {value & 255: count for value, count in survey.colours.items()}
    )
    values = np.array(sorted(counts), np.int64)
    kept = values[label_map.classes_of(values) != VOID]
    if len(kept) < 2:
        return
    pixels = sum(counts[value] for value in kept.tolist())
    top = sum(count for _, count in counts.most_common(MOST_LISTED // 2))
    if len(kept) > MOST_LISTED and top > 0.9 * sum(counts.values()):
        rare = sum(counts[value] < 0.001 * pixels for value in kept.tolist())
        logger.warning(
            "%s: %d different numbers, %d of them rare: were the label files resized with"
            " smoothing, or once saved as JPEG? Each number counts as a class",
            where,
            len(kept),
            rare,
        )
    elif kept[-1] - label_map.first + 1 >= SPARSE * max(len(kept), 5):
        classes = ", ".join(f"{{name: class {i}, numbers: {n}}}" for i, n in enumerate(kept[:3]))
        logger.warning(
            "%s: the labels are %s, and each number counts as a class; if they stand for fewer"
            " classes or have names, give a label map (%s FILE.yaml): classes: [%s, ...]",
            where,
            shown(kept, coloured=False),
            OPTION,
            classes,
        )


def _unlisted(survey: Survey, unlisted: dict[bool, Counter[int]], label_map: LabelMap) -> str:
    """Describe values that are in no class."""
    total = max((survey.numbers + survey.colours).total(), 1)
    entries = [
        (_value_text(value, coloured=coloured), count, coloured)
        for coloured, counts in unlisted.items()
        for value, count in counts.items()
    ]
    entries.sort(key=lambda each: (-each[1], each[0]))
    if label_map.source:
        held = ", ".join(f"{text} ({_percent(n / total)})" for text, n, _ in entries[:12])
        more = f" and {len(entries) - 12} more" if len(entries) > 12 else ""
        return (
            f"contains values that no class of {label_map.source} lists: {held}{more} (share of"
            " pixels); add them to `numbers` or `colours` of a class, or to `ignore`"
        )
    what = (
        "the labels are colours, and no label map says which classes they are"
        if True in unlisted
        else "labels are class indices from 0 to 254, with 255 for 'not labelled', but there are"
        f" others, such as {entries[0][0]}"
    )
    return (
        f"{what}; save the lines below as {FILE_NAME}, name the classes, move values without a"
        f" class to `ignore`, and add {OPTION} {FILE_NAME}"
    )


def proposed_map(survey: Survey) -> str:
    """Return a label map to fill in: every value is a class, the most frequent first.

    Example:
        >>> print(proposed_map(Survey(colours=Counter({0x804080: 3, 0: 1}))))
        classes:
          - {name: class 0, colours: "#804080"}  # 75.0% of pixels
          - {name: class 1, colours: "#000000"}  # 25.0% of pixels
        ignore: []
    """
    coloured = bool(survey.colours) and not is_grey(np.array(list(survey.colours))).all()
    counts = Counter(survey.numbers)
    if not coloured:
        counts.update({value & 255: count for value, count in survey.colours.items()})
    total = max(survey.numbers.total() + survey.colours.total(), 1)
    entries = [("numbers", value, count) for value, count in counts.items()]
    if coloured:
        entries += [("colours", value, count) for value, count in survey.colours.items()]
    ignored = [value for key, value, _ in entries if key == "numbers" and value in {VOID, -1}]
    entries = [each for each in entries if each[0] == "colours" or each[1] not in ignored]
    entries.sort(key=lambda each: (-each[2], each[1]))
    lines = ["classes:"]
    for index, (key, value, count) in enumerate(entries[:MOST_LISTED]):
        text = _value_text(value, coloured=key == "colours")
        share = _percent(count / total)
        lines.append(f"  - {{name: class {index}, {key}: {text}}}  # {share} of pixels")
    if len(entries) > MOST_LISTED:
        lines.append(f"  # and {len(entries) - MOST_LISTED:,} more values: are these label files?")
    return "\n".join([*lines, f"ignore: [{', '.join(map(str, sorted(ignored)))}]"])


def _value_text(value: int, *, coloured: bool) -> str:
    return f'"#{value:06x}"' if coloured else str(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share >= 0.001 else "under 0.1%"
