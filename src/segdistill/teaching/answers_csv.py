"""Answers as a table that people and other programs read and write.

A row is an answer. A table made by hand needs only four columns: the image, x and y of a click in
pixels of the upright image from its top left corner, and the class. The points of a stroke are
separated by ``|``. A region has instead the ``grid`` that covers the image (its width and height in
cells, such as ``40x30``) and ``runs``: the lengths of alternating runs of cells outside and inside
it, row by row, the first one outside.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from segdistill.errors import UserError
from segdistill.teaching.answer_records import KnownImages, Reading, check_points, check_shape
from segdistill.teaching.answers import Answer, Region, Stroke, checked_name
from segdistill.teaching.session import TaughtImage

REQUIRED = ("image", "x", "y", "class")
COLUMNS = (*REQUIRED, "verdict", "time", "grid", "runs", "width", "height", "digest")
DELIMITERS = ",;\t"
SEPARATOR = "|"
"""Between numbers in a cell; spreadsheets would read ``1 200`` as a number, ``1/2`` as a date."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
GRID = re.compile(r"(\d{1,5})\s*[x×]\s*(\d{1,5})", re.ASCII | re.IGNORECASE)


def answers_table(answers: Sequence[Answer]) -> str:
    """Return answers as CSV, from which :func:`read_table` reads the same answers.

    Example:
        >>> click = Answer("a.png", 40, 30, "", stroke=Stroke(((12.0, 3.5),)), name="sky")
        >>> print(answers_table([click]), end="")
        image,x,y,class,verdict,time,grid,runs,width,height,digest
        a.png,12,3.5,sky,class,,,,40,30,
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(each) for each in answers)
    return buffer.getvalue()


def read_table(text: str, images: KnownImages, path: str) -> Reading:
    """Read answers from CSV with commas, semicolons or tabs.

    Where size or digest of an image are not given, they are those of the image now.

    Args:
        text: the table.
        images: the images.
        path: the file, for errors.

    Raises:
        UserError: the header or a row is malformed; the message names the line.
    """
    reading = Reading(path)
    delimiter = _delimiter(text)
    with _long_fields(len(text)):
        # Newlines as they are: names of images may hold any.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            columns = _columns(next(reader, []), path)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                with reading.record(f"line {reader.line_num}"):
                    row = _by_column(cells, columns)
                    reading.answers.append(_answer(row, images, comma=delimiter != ","))
        except csv.Error as error:
            raise UserError(
                f"{path}: line {reader.line_num}: not CSV ({error}); check its quotation marks"
            ) from error
    return reading


def _row(answer: Answer) -> list[str | int]:
    points = () if answer.stroke is None else answer.stroke.points
    region = answer.region
    return [
        answer.image,
        SEPARATOR.join(_number_text(x) for x, _ in points),
        SEPARATOR.join(_number_text(y) for _, y in points),
        answer.name,
        answer.verdict,
        answer.time,
        "" if region is None else f"{region.width}x{region.height}",
        "" if region is None else SEPARATOR.join(map(str, region.runs)),
        *(answer.width, answer.height, answer.digest),
    ]


def _number_text(value: float) -> str:
    """Return the shortest text of the same number."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(DELIMITERS, key=header.count)


@contextmanager
def _long_fields(length: int) -> Iterator[None]:
    """Let fields of CSV be as long as the whole text: strokes and regions may be."""
    before = csv.field_size_limit(max(length, csv.field_size_limit()))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _columns(header: Sequence[str], path: str) -> list[str]:
    names = [each.strip().casefold() for each in header]
    while names and not names[-1]:  # spreadsheets write columns that are empty
        names.pop()
    missing = [each for each in REQUIRED if each not in names]
    if missing:
        raise UserError(
            f"{path}: line 1: no column {missing[0]}; begin with a line that names the columns:"
            f" {','.join(REQUIRED)}"
        )
    unknown = next((each for each in names if each not in COLUMNS), None)
    if unknown is not None:
        raise UserError(
            f"{path}: line 1: unknown column {unknown!r}; remove it, or use one of"
            f" {', '.join(COLUMNS)}"
        )
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise UserError(f"{path}: line 1: two columns {twice}; remove one")
    return names


def _by_column(cells: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    if any(cell.strip() for cell in cells[len(columns) :]):
        raise UserError(
            f"{len(cells)} values for {len(columns)} columns; put values that hold the separator in"
            " quotation marks"
        )
    given = dict.fromkeys(COLUMNS, "")
    given.update(zip(columns, cells, strict=False))
    # A name may begin or end with a blank.
    return {name: cell if name == "image" else cell.strip() for name, cell in given.items()}


def _answer(row: Mapping[str, str], images: KnownImages, *, comma: bool) -> Answer:
    """Return the answer of a row.

    Args:
        row: its cells by column.
        images: the images.
        comma: whether numbers may have decimal commas.
    """
    if not row["image"].strip():
        raise UserError("no image; write its file name")
    fields = {**_verdict(row), **_place(row, comma=comma), "time": _time(row["time"])}
    image = images.find(row["image"])
    fields |= {"image": image.name, **_size(row, image)}
    points = fields["stroke"].points if fields["stroke"] is not None else ()
    check_points(image.name, fields["width"], fields["height"], points)
    try:
        # By its types, so that no file holds what the answers of a run may not.
        return msgspec.convert(msgspec.to_builtins(fields), Answer)
    except msgspec.ValidationError as error:
        raise UserError(f"{error}; correct or remove this line") from error


def _verdict(row: Mapping[str, str]) -> dict[str, Any]:
    verdict, name = row["verdict"].casefold() or "class", row["class"]
    if verdict not in {"class", "several", "skipped"}:
        raise UserError(f"verdict {row['verdict']!r}; write class, several or skipped")
    if verdict == "class":
        return {"verdict": verdict, "name": checked_name(name, [])}
    if name:
        raise UserError(f"verdict {verdict} with the class {name!r}; leave one of them empty")
    return {"verdict": verdict}


def _place(row: Mapping[str, str], *, comma: bool) -> dict[str, Any]:
    if row["grid"] or row["runs"]:
        if row["x"] or row["y"]:
            raise UserError("both a region (grid, runs) and a click (x, y); give one of them")
        return {"region": _region(row["grid"], row["runs"]), "stroke": None}
    x, y = (_numbers(row[axis], axis, comma=comma) for axis in "xy")
    if len(x) != len(y):
        raise UserError(f"{len(x)} values of x and {len(y)} of y; give a pair for each point")
    return {"region": None, "stroke": Stroke(tuple(zip(x, y, strict=True)))}


def _numbers(cell: str, column: str, *, comma: bool) -> list[float]:
    numbers = []
    for part in cell.split(SEPARATOR):
        text = part.strip().replace(",", ".") if comma else part.strip()
        if not NUMBER.fullmatch(text):
            raise UserError(
                f"{column} is {part.strip()!r}, not a number; write pixels, such as 120 or 80.5"
            )
        numbers.append(float(text))
    return numbers


def _region(grid: str, runs: str) -> Region:
    size = GRID.fullmatch(grid)
    if size is None:
        raise UserError(f"grid is {grid!r}; write the cells across and down, such as 40x30")
    lengths = [each.strip() for each in runs.split(SEPARATOR)]
    wrong = next((each for each in lengths if not re.fullmatch(r"[0-9]{1,10}", each)), None)
    if wrong is not None:
        raise UserError(f"runs has {wrong!r}; write whole numbers with {SEPARATOR} between them")
    try:
        return Region(int(size[2]), int(size[1]), tuple(map(int, lengths)))
    except ValueError as error:
        raise UserError(f"{error}; correct or remove this line") from error


def _size(row: Mapping[str, str], image: TaughtImage) -> dict[str, Any]:
    given = [row["width"], row["height"]]
    if not any(given):
        return {
            "width": image.width,
            "height": image.height,
            "digest": row["digest"] or image.digest,
        }
    wrong = next((each for each in given if not re.fullmatch(r"0*[1-9][0-9]{0,9}", each)), None)
    if wrong is not None:
        raise UserError(
            f"width and height are {given[0]!r} and {given[1]!r}; give the pixels of the image, or"
            " leave both empty"
        )
    width, height = map(int, given)
    if not row["digest"]:
        check_shape(image, width, height)
    return {"width": width, "height": height, "digest": row["digest"]}


def _time(cell: str) -> str:
    if cell:
        try:
            datetime.fromisoformat(cell)
        except ValueError as error:
            raise UserError(
                f"time is {cell!r}; write it like 2026-05-31T18:30:00+00:00, or leave it empty"
            ) from error
    return cell
