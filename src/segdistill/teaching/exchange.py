"""Answers in files of their own: to share, to edit in a spreadsheet, and from other tools."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segdistill.errors import UserError
from segdistill.files import read_short_text, write_text_atomically
from segdistill.json_files import MAX_JSON_BYTES
from segdistill.teaching.answer_records import KnownImages, Reading, check_shape
from segdistill.teaching.answers import Answer, Answers
from segdistill.teaching.answers_csv import answers_table, read_table
from segdistill.teaching.answers_file import answers_of_json, json_of_answers
from segdistill.teaching.coco_answers import read_coco
from segdistill.teaching.label_studio_answers import read_label_studio
from segdistill.teaching.session import TaughtImage

CSV, JSON = ".csv", ".json"


@dataclass(frozen=True)
class ImportedAnswers:
    """What became of a file of answers.

    Attributes:
        answers: the earlier answers, and after them those of the file.
        added: number of answers added.
        repeated: number of answers of the file that had been there already.
        new_classes: names of the classes added, in the order of their appearance.
        skipped: records that were not used, each with its reason.
    """

    answers: Answers
    added: int
    repeated: int
    new_classes: tuple[str, ...]
    skipped: tuple[str, ...]


def read_answer_file(
    path: Path, images: Sequence[TaughtImage], earlier: Answers | None = None
) -> ImportedAnswers:
    """Add the answers of a file to earlier ones.

    The file may be a table (CSV), a file of answers of a run, annotations in COCO's format, or what
    Label Studio exports as JSON; which one is found out from its content. Class names are the same
    if they differ only in case. Of contradictory answers, the later one counts, as always.

    Args:
        path: the file.
        images: images that answers may be about.
        earlier: answers given before; none by default.

    Raises:
        UserError: the file cannot be read, or a record in it is malformed; the message names it.
            Nothing is changed.
    """
    text = read_short_text(path, what="a file of answers", option="--answers", most=MAX_JSON_BYTES)
    known = KnownImages(images)
    if path.suffix.lower() == JSON or text.lstrip()[:1] in {"{", "["}:
        reading = _read_json(text, known, path)
    else:
        reading = read_table(text, known, str(path))
    try:
        return _joined(Answers() if earlier is None else earlier, reading)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def write_answer_file(path: Path, answers: Answers, *, overwrite: bool = False) -> None:
    """Write answers to a file, completely or not at all.

    Args:
        path: the file: ``.csv``, a table of the answers, or ``.json``, which also holds colours,
            classes without answers, and answers that were taken back.
        answers: the answers.
        overwrite: replace an existing file.

    Raises:
        UserError: it exists, cannot be written, or has another suffix.
    """
    if path.suffix.lower() not in {CSV, JSON}:
        raise UserError(f"{path}: the name must end in .csv or .json")
    if path.exists() and not overwrite:
        raise UserError(
            f"{path}: already exists; add --overwrite to replace it, or choose another name"
        )
    if path.suffix.lower() == JSON:
        write_text_atomically(path, json_of_answers(answers))
        return
    table = answers_table(answers.answers)
    try:
        table.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}: the name of an image is not valid Unicode, which CSV requires; choose a file"
            " name that ends in .json"
        ) from error
    write_text_atomically(path, table)


def _read_json(text: str, images: KnownImages, path: Path) -> Reading:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); write or export it again") from error
    if isinstance(plain, list):
        return read_label_studio(plain, images, str(path))
    if isinstance(plain, dict) and "annotations" in plain:
        return read_coco(plain, images, str(path))
    if isinstance(plain, dict) and "answers" in plain:
        return _read_own(plain, images, path)
    raise UserError(
        f"{path}: no answers found; give a CSV table, answers.json of a run, annotations in COCO's"
        " format, or a JSON export of Label Studio"
    )


def _read_own(plain: Any, images: KnownImages, path: Path) -> Reading:
    reading = Reading(str(path))
    given = answers_of_json(plain, path, fix="export it again")
    reading.classes = given.classes
    for number, answer in enumerate(given.answers, start=1):
        with reading.record(f"answer {number}"):
            image = images.find(answer.image)
            if not answer.digest:
                check_shape(image, answer.width, answer.height)
            reading.answers.append(replace(answer, image=image.name))
    return reading


def _joined(earlier: Answers, reading: Reading) -> ImportedAnswers:
    """Return answers and the new ones of a file after them, under the earlier classes' names."""
    colours = {each.name: each.colour for each in reading.classes}
    named = [each.name for each in reading.answers if each.name]
    known = {name.casefold(): name for name in earlier.names}
    classes = earlier
    for name in dict.fromkeys([*colours, *named]):
        if name.casefold() in known:
            continue
        classes = classes.with_classes([name])
        known[name.casefold()] = name
        taken = [each.colour for each in classes.classes]
        if name in colours and colours[name] not in taken:
            classes = classes.recoloured(name, colours[name])
    found = [_renamed(each, known) for each in reading.answers]
    present = set(earlier.answers)
    # An answer that the file itself repeats counts again, after those between.
    new = [each for each in found if each not in present]
    if new:
        classes = replace(classes, answers=(*earlier.answers, *new), undone=())
    return ImportedAnswers(
        classes,
        added=len(new),
        repeated=len(found) - len(new),
        new_classes=tuple(classes.names[len(earlier.names) :]),
        skipped=tuple(reading.skipped),
    )


def _renamed(answer: Answer, known: dict[str, str]) -> Answer:
    return replace(answer, name=known[answer.name.casefold()]) if answer.name else answer
