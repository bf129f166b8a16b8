"""Answers as CSV: written and read again, and written by hand."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.teaching.answering import clicks, many_answers, read, with_names

from segdistill.errors import UserError
from segdistill.teaching.answers import Answer, Answers, Region, Stroke
from segdistill.teaching.exchange import write_answer_file
from segdistill.teaching.session import TaughtImage

HEADER = "image,x,y,class\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=many_answers)
def test_what_is_written_is_read_again(tmp_path: Path, answers: list[Answer]) -> None:
    path = tmp_path / "out.csv"
    write_answer_file(path, with_names(answers), overwrite=True)
    again = read(tmp_path, path.read_bytes())
    assert again.answers.answers == tuple(answers)
    assert (again.added, again.repeated, again.skipped) == (len(answers), 0, ())
    assert again.answers.names == list(dict.fromkeys(each.name for each in answers if each.name))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_of_spreadsheets(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    lines = [
        ("Image", "Class", "X", "y", ""),
        ("a.png", "Himmel, blau", "12.5", " 3", ""),
        ("", "", "", "", ""),
        ("a.png", "straße", "39", "29.99", ""),
    ]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=end).writerows(lines)
    imported = read(tmp_path, buffer.getvalue().encode(encoding))
    assert clicks(imported) == [
        ("a.png", 12.5, 3, "Himmel, blau"),
        ("a.png", 39, 29.99, "straße"),
    ]
    assert imported.new_classes == ("Himmel, blau", "straße")
    [first, _] = imported.answers.answers
    assert (first.width, first.height, first.digest, first.time) == (40, 30, "d1", "")


def test_decimal_commas_between_semicolons(tmp_path: Path) -> None:
    imported = read(tmp_path, "image;x;y;class\na.png;12,5;3;sky\n")
    assert clicks(imported) == [("a.png", 12.5, 3, "sky")]


def test_strokes_and_regions_by_hand(tmp_path: Path) -> None:
    text = (
        "image,x,y,class,grid,runs,verdict\na.png,1|2|3.5,4 | 5 |6,sky\na.png,,,,4x2,2|2|4,several"
    )
    stroke, region = read(tmp_path, text).answers.answers
    assert stroke.stroke == Stroke(((1, 4), (2, 5), (3.5, 6)))
    assert region.region == Region(2, 4, (2, 2, 4))
    assert (region.verdict, region.name) == ("several", "")


def test_a_stroke_of_the_most_points(tmp_path: Path) -> None:
    points = tuple((index / 300, index / 700) for index in range(10_000))
    answer = Answer("a.png", 40, 30, "", stroke=Stroke(points), name="sky")
    write_answer_file(tmp_path / "out.csv", with_names([answer]))
    before = csv.field_size_limit()
    assert read(tmp_path, (tmp_path / "out.csv").read_bytes()).answers.answers == (answer,)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,40,3,sky", r"line 3: \(40, 3\) lies outside a.png, which is 40 x 30 pixels; count"),
        ("a.png,-1,3,sky", r"line 3: \(-1, 3\) lies outside a.png"),
        ("a.png,1,,sky", "line 3: y is '', not a number; write pixels"),
        ("a.png,nan,3,sky", "line 3: x is 'nan', not a number"),
        ("a.png,inf,3,sky", "line 3: x is 'inf', not a number"),
        ("a.png,1_0,3,sky", "line 3: x is '1_0', not a number"),
        ('a.png,"1,5",3,sky', "line 3: x is '1,5', not a number"),
        ("a.png,1|2,3,sky", "line 3: 2 values of x and 1 of y"),
        ("a.png,1,3,", "line 3: a class needs a name"),
        ("a.png,1,3, ", "line 3: a class needs a name"),
        (f"a.png,1,3,{'x' * 81}", "line 3: x+...: longer than 80 characters"),
        (",1,3,sky", "line 3: no image; write its file name"),
        ("a.png,1,3,sky,sea", "line 3: 5 values for 4 columns; put values"),
        ('a.png,1,3,"sky', "line 3: not CSV .*; check its quotation marks"),
        ('a.png,1,3,"sky"x', "line 3: not CSV .*; check its quotation marks"),
    ],
)
def test_malformed_rows(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}/in.csv: {message}"):
        read(tmp_path, f"{HEADER}a.png,1,2,sky\n{row}\n")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"verdict": "maybe", "x": "1", "y": "1"}, "verdict 'maybe'; write class, several or"),
        ({"verdict": "skipped", "class": "sky"}, "verdict skipped with the class 'sky'; leave one"),
        (
            {"time": "noon", "x": "1", "y": "1", "class": "sky"},
            "time is 'noon'; write it like 2026",
        ),
        ({"x": "1", "grid": "1x2", "runs": "1|1", "class": "sky"}, "both a region .* and a click"),
        ({"grid": "2", "runs": "1|1", "class": "sky"}, "grid is '2'; write the cells across"),
        ({"runs": "1|1", "class": "sky"}, "grid is ''; write the cells across"),
        ({"grid": "1x2", "runs": "1|-1", "class": "sky"}, "runs has '-1'; write whole numbers"),
        ({"grid": "1x2", "runs": "1|2", "class": "sky"}, "do not fill its grid; correct"),
        ({"grid": "1x2", "runs": "2", "class": "sky"}, "region without cells; correct"),
        ({"grid": "0x2", "runs": "0|0", "class": "sky"}, "region without cells; correct"),
        ({"width": "40", "x": "1", "y": "1", "class": "sky"}, "width and height are '40' and ''"),
        (
            {"width": "40", "height": "0", "x": "1", "y": "1", "class": "sky"},
            "width and height are '40' and '0'; give the pixels",
        ),
        ({"digest": "x" * 129, "x": "1", "y": "1", "class": "sky"}, "length <= 128 .*; correct or"),
        (
            {"x": "|".join("1" * 10_001), "y": "|".join("1" * 10_001), "class": "sky"},
            "length <= 10000 .*; correct or remove this line",
        ),
    ],
)
def test_malformed_cells(tmp_path: Path, cells: dict[str, str], message: str) -> None:
    row = {"image": "a.png", "x": "", "y": "", "class": "", **cells}
    with pytest.raises(UserError, match=rf"^{tmp_path}/in.csv: line 2: .*{message}"):
        read(tmp_path, f"{','.join(row)}\n{','.join(row.values())}\n")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "no column image; begin with a line that names the columns: image,x,y,class"),
        ("a.png,1,2,sky", "no column image"),
        ("image,x,class", "no column y"),
        ("image,x,y,class,colour", "unknown column 'colour'; remove it, or use one of image, x"),
        ("image,x,y,class,X", "two columns x; remove one"),
        ('image,"x', "not CSV"),
    ],
)
def test_malformed_headers(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}/in.csv: line [01]: {message}"):
        read(tmp_path, header)


def test_wrong_encodings(tmp_path: Path) -> None:
    for encoding in ("cp1252", "utf-16"):
        with pytest.raises(UserError, match=r"in\.csv: not UTF-8 text; save it as UTF-8"):
            read(tmp_path, f"{HEADER}a.png,1,1,Straße".encode(encoding))


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    header = "image,x,y,class,width,height,digest\n"
    imported = read(
        tmp_path,
        # Scaled, turned, and turned but certainly another version of the image.
        f"{header}a.png,1,1,sky,20,15,\na.png,1,1,sky,30,40,\na.png,1,1,sky,30,40,d0\n",
    )
    assert [(each.width, each.height) for each in imported.answers.answers] == [(20, 15), (30, 40)]
    [skipped] = imported.skipped
    assert skipped.startswith("line 3: a.png is 40 x 30 pixels, but 30 x 40 in the file; perhaps")


def test_names_that_are_not_unicode_need_json(tmp_path: Path) -> None:
    answer = Answer("\udcff.png", 40, 30, "", stroke=Stroke(((1, 1),)), name="sky")
    with pytest.raises(
        UserError, match=r"out.csv: the name of an image is not valid Unicode.*\.json"
    ):
        write_answer_file(tmp_path / "out.csv", with_names([answer]))
    assert not (tmp_path / "out.csv").exists()
    write_answer_file(tmp_path / "out.json", with_names([answer]))


def test_an_empty_table(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER).answers == Answers()


def test_the_documented_table(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")
    images = [TaughtImage(f"street/000{number}.jpg", 640, 480, "") for number in (1, 2)]
    imported = read(tmp_path, text.split("```csv\n")[1].split("```")[0], images=images)
    assert clicks(imported) == [
        ("street/0001.jpg", 120, 80.5, "road"),
        ("street/0002.jpg", 310, 42, "sky"),
    ]
