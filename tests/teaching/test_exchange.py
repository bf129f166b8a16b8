"""Files of answers: found out what they are, joined with earlier answers, and written."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.teaching.answering import clicks, many_answers, read, with_names

from segdistill.errors import UserError
from segdistill.json_files import MAX_JSON_BYTES
from segdistill.teaching.answers import Answer, Answers, Stroke
from segdistill.teaching.answers_file import read_answers, write_answers
from segdistill.teaching.exchange import read_answer_file, write_answer_file
from segdistill.teaching.session import TaughtImage

HEADER = "image,x,y,class\n"
TWIN = '{"name": "A", "colour": [1, 2, 3]}]}'


def click(x: float, name: str) -> Answer:
    return Answer("a.png", 40, 30, "", stroke=Stroke(((x, 1.0),)), name=name, digest="d1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(answers=many_answers)
def test_own_files_keep_everything_but_what_was_undone(
    tmp_path: Path, answers: list[Answer]
) -> None:
    path = tmp_path / "out.json"
    given_answers = with_names(answers).recoloured("sky", (1, 2, 3))
    write_answer_file(path, given_answers, overwrite=True)
    again = read(tmp_path, path.read_bytes(), name="in.json")
    assert again.answers == given_answers
    assert read(tmp_path, path.read_bytes(), name="in.txt").answers == given_answers
    assert read(tmp_path, path.read_bytes(), name="in.json", earlier=again.answers).added == 0


def test_answers_of_a_run_are_the_same_file(tmp_path: Path) -> None:
    answers = with_names([click(1, "sky")])
    write_answers(tmp_path, answers)
    write_answer_file(tmp_path / "out.json", answers)
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "answers.json").read_bytes()
    assert read_answers(tmp_path) == answers


def test_joining(tmp_path: Path) -> None:
    earlier = with_names([click(1, "sky"), click(1, "sea")], ["sky", "sea"])
    undone = earlier.undo()
    text = HEADER + "a.png,1,1,SKY\na.png,2,1,road\na.png,3,1,Sea\na.png,3,1,Road\na.png,2,1,road\n"
    once = read(tmp_path, text, earlier=earlier)
    assert once.new_classes == ("road",)
    assert (once.added, once.repeated) == (4, 1)
    assert once.answers.names == ["sky", "sea", "road"]
    # The file's own repetition stays, since the last answer about a place counts.
    assert once.answers.answers == (
        *earlier.answers,
        *(click(2, "road"), click(3, "sea"), click(3, "road"), click(2, "road")),
    )
    twice = read(tmp_path, text, earlier=once.answers)
    assert (twice.answers, twice.added, twice.repeated) == (once.answers, 0, 5)
    # Nothing new: what was undone can still be redone.
    assert read(tmp_path, HEADER + "a.png,1,1,sky\n", earlier=undone).answers == undone


def test_colours_of_own_files_are_kept_where_they_are_free(tmp_path: Path) -> None:
    theirs = Answers().with_classes(["sky", "sea"]).recoloured("sky", (9, 9, 9))
    write_answer_file(tmp_path / "theirs.json", theirs)
    ours = Answers().with_classes(["road"]).recoloured("road", (9, 9, 9))
    joined = read_answer_file(tmp_path / "theirs.json", [], ours).answers
    colours = [each.colour for each in joined.classes]
    assert joined.names == ["road", "sky", "sea"]
    assert len(set(colours)) == 3
    assert colours[2] == theirs.classes[1].colour
    alone = read_answer_file(tmp_path / "theirs.json", []).answers
    assert alone.classes == theirs.classes


def test_too_many_classes(tmp_path: Path) -> None:
    rows = "".join(f"a.png,1,1,class {number}\n" for number in range(256))
    with pytest.raises(UserError, match=r"in\.csv: class 255: there are already 255 classes"):
        read(tmp_path, HEADER + rows)


def test_images_are_found_by_name(tmp_path: Path) -> None:
    names = ["a.png", "x/a.png", "x/b.jpg", "y/b.jpg", "y/c d (1).jpg", "z/d.png", "z/d.jpg"]
    images = [TaughtImage(name, 40, 30, "") for name in names]
    expected = {
        "a.png": "a.png",
        "./x/a.png": "x/a.png",
        "/home/me/x/a.png": "x/a.png",
        "/home/me/w/a.png": "a.png",
        "x\\b.jpg": "x/b.jpg",
        "photos/y/b.jpg": "y/b.jpg",
        "c d (1).jpg": "y/c d (1).jpg",
        "w/c d (1).png": "y/c d (1).jpg",  # a mask's name
        "c_d_1.jpg": "y/c d (1).jpg",  # as upload forms write it
        "d.jpg": "z/d.jpg",
    }
    rows = "".join(
        f"{name},1,1,sky\n" for name in [*expected, "b.jpg", "w/b.jpg", "d.tif", "e.png"]
    )
    imported = read(tmp_path, HEADER + rows, images=images)
    assert [image for image, *_ in clicks(imported)] == list(expected.values())
    line = len(expected) + 2
    assert imported.skipped == (
        f"line {line}: b.jpg may be x/b.jpg or y/b.jpg; write the folder, too",
        f"line {line + 1}: w/b.jpg may be x/b.jpg or y/b.jpg; write the folder, too",
        f"line {line + 2}: d.tif may be z/d.png or z/d.jpg; write the folder, too",
        f"line {line + 3}: e.png is not among the images",
    )


def test_own_files_about_other_images(tmp_path: Path) -> None:
    other = Answer("e.png", 40, 30, "", stroke=Stroke(((1, 1),)), name="sky")
    turned = Answer("a.png", 30, 40, "", stroke=Stroke(((1, 1),)), name="sky")
    write_answer_file(
        tmp_path / "out.json", with_names([other, click(1, "sea"), turned], ["sky", "sea"])
    )
    imported = read(tmp_path, (tmp_path / "out.json").read_bytes(), name="in.json")
    assert imported.answers.answers == (click(1, "sea"),)
    assert imported.answers.names == ["sky", "sea"]
    assert imported.skipped[0] == "answer 1: e.png is not among the images"
    assert imported.skipped[1].startswith("answer 3: a.png is 40 x 30 pixels, but 30 x 40")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read .*; write or export it again"),
        ("[" * 100_000, "cannot be read .*; write or export it again"),
        (r'{"answers": ["\ud800"], "classes": []}', "cannot be read .*; export it again"),
        ("{}", "no answers found; give a CSV table, answers.json of a run"),
        ("3", "no answers found"),
        ('{"answers": [], "classes": [], "format": 99}', "format 99, but this version reads"),
        (
            '{"answers": [{"image": "a.png"}], "classes": []}',
            r"`\$.answers\[0\]`\); export it again",
        ),
        (
            '{"answers": [], "classes": [{"name": "a", "colour": [1, 2, 3]},' + TWIN,
            "A: a class with this name already exists; export it again",
        ),
    ],
)
def test_json_of_other_things(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}/in.json: .*{message}"):
        read(tmp_path, content, name="in.json")


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no\.csv: no such file; check the path of --answers"):
        read_answer_file(tmp_path / "no.csv", [])
    with pytest.raises(UserError, match="is a folder; give a file of answers"):
        read_answer_file(tmp_path, [])
    monkeypatch.setattr("segdistill.teaching.exchange.MAX_JSON_BYTES", 100)
    assert MAX_JSON_BYTES > 100
    with pytest.raises(UserError, match=r"in\.csv: too long for a file of answers"):
        read(tmp_path, HEADER + "a.png,1,1,sky\n" * 10)


def test_writing_replaces_nothing_unasked(tmp_path: Path) -> None:
    answers = with_names([click(1, "sky")])
    path = tmp_path / "new" / "out.CSV"
    write_answer_file(path, answers)
    with pytest.raises(UserError, match="already exists; add --overwrite to replace it"):
        write_answer_file(path, Answers())
    assert "sky" in path.read_text()
    write_answer_file(path, Answers(), overwrite=True)
    assert "sky" not in path.read_text()
    with pytest.raises(UserError, match=r"out\.xlsx: the name must end in \.csv or \.json"):
        write_answer_file(tmp_path / "out.xlsx", answers)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=r"folder\.csv: is a folder"):
        write_answer_file(tmp_path / "folder.csv", answers, overwrite=True)
    assert [each.name for each in path.parent.iterdir()] == ["out.CSV"]
