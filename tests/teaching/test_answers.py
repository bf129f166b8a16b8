"""Answers: classes, places, undo, and the file they are kept in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import edited

from segdistill.errors import UserError
from segdistill.teaching.answers import Answer, Answers, Region, Stroke
from segdistill.teaching.answers_file import read_answers, write_answers
from segdistill.teaching.examples import contradictions, examples_of, place_cells

TIME = "2026-11-29T12:00:00+00:00"
CLICK = Answer("a.png", 40, 30, TIME, stroke=Stroke(((5.0, 6.0),)), name="sky")


def stroke(plain: dict[str, Any], point: list[float]) -> None:
    plain["answers"][0]["stroke"]["points"] = [point]


def region_of(text: str) -> Region:
    return Region.of(np.array([[c == "x" for c in row] for row in text.split()]))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 2**36 - 1))
def test_a_region_gives_back_its_cells(height: int, width: int, bits: int) -> None:
    cells: NDArray[np.bool_] = np.array(
        [bool(bits >> n & 1) for n in range(height * width)]
    ).reshape(height, width)
    if not cells.any():
        with pytest.raises(ValueError, match="without cells"):
            Region.of(cells)
        return
    np.testing.assert_array_equal(Region.of(cells).inside, cells)


def test_class_names_are_checked() -> None:
    answers = Answers().with_classes([" traffic  light ", "sky"])
    assert answers.names == ["traffic light", "sky"]
    refused = {"": "needs a name", "SKY": "already", "a\x07": "printable", "x" * 81: "80"}
    for bad, why in refused.items():
        with pytest.raises(UserError, match=why):
            answers.with_classes([bad])
    assert len({each.colour for each in answers.classes}) == 2


def test_renaming_keeps_the_answers() -> None:
    answers = Answers().with_classes(["sky", "road"]).with_answer(CLICK)
    renamed = answers.renamed("sky", "air")
    assert (renamed.names, renamed.answers[0].name) == (["air", "road"], "air")
    with pytest.raises(UserError, match="already"):
        answers.renamed("sky", "Road")
    assert answers.renamed("sky", "Sky").names == ["Sky", "road"]
    with pytest.raises(UserError, match="1 answer names this class"):
        renamed.without_class("air")
    assert renamed.without_class("road").names == ["air"]


def test_undo_redo_change_and_remove() -> None:
    answers = Answers().with_classes(["sky", "road"]).with_answer(CLICK)
    undone = answers.undo()
    assert undone.answers == ()
    assert undone.redo() == answers
    changed = answers.with_verdict(0, "class", "road")
    assert changed.answers[0].name == "road"
    assert answers.with_verdict(0, "several").answers[0].verdict == "several"
    for wrong in (undone.undo, answers.redo, lambda: answers.without_answer(1)):
        with pytest.raises(UserError):
            wrong()
    with pytest.raises(UserError, match="the classes are: sky, road"):
        answers.with_verdict(0, "class", "tree")


def test_the_file_gives_back_the_answers(tmp_path: Path) -> None:
    region = Answer("b.png", 8, 6, "", region=region_of(".xx. xx.."), verdict="several")
    answers = Answers().with_classes(["sky"]).with_answer(CLICK).with_answer(region).undo()
    write_answers(tmp_path, answers)
    assert read_answers(tmp_path) == answers
    assert read_answers(tmp_path / "nothing") == Answers()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda plain: plain["answers"][0].update(name="tree"), "tree: no such class"),
        (lambda plain: plain["answers"][0].update(name=""), "has a name if"),
        (lambda plain: plain["answers"][0].update(stroke=None), "either a region or a stroke"),
        (lambda plain: stroke(plain, [40, 3]), "outside the image"),
        (lambda plain: stroke(plain, [float("nan"), 3]), "answers.json"),
        (lambda plain: plain["answers"][0].update(width=-1), "answers.json"),
        (lambda plain: plain["classes"].append(plain["classes"][0]), "already"),
        (lambda plain: plain.update(format=2), "format 2"),
        (lambda plain: plain.pop("classes"), "answers.json"),
    ],
)
def test_a_damaged_file_is_refused_and_named(tmp_path: Path, change: object, why: str) -> None:
    write_answers(tmp_path, Answers().with_classes(["sky"]).with_answer(CLICK))
    plain = edited((tmp_path / "answers.json").read_text())
    change(plain)  # type: ignore[operator]
    (tmp_path / "answers.json").write_text(json.dumps(plain))
    with pytest.raises(UserError, match=why) as caught:
        read_answers(tmp_path)
    assert "answers.json" in str(caught.value)


def test_a_region_finds_its_cells_on_another_grid() -> None:
    answer = Answer("a.png", 40, 30, "", region=region_of("..xx ..xx ...."), name="sky")
    assert place_cells(answer, (3, 4)).tolist() == [2, 3, 6, 7]
    finer = np.zeros((6, 8), bool)
    finer[:4, 4:] = True
    np.testing.assert_array_equal(place_cells(answer, (6, 8)), np.flatnonzero(finer))
    assert place_cells(answer, (1, 1)).tolist() == [0]


def test_a_stroke_covers_the_cells_on_its_way() -> None:
    stroke = Answer("a.png", 40, 30, "", stroke=Stroke(((1, 1), (39, 1), (39, 29))), name="sky")
    assert place_cells(stroke, (3, 4)).tolist() == [0, 1, 2, 3, 7, 11]


def test_the_later_of_two_contradictory_answers_counts() -> None:
    first = Answer("a.png", 40, 30, "", region=region_of("xxxx .... ...."), name="sky")
    second = Answer("a.png", 40, 30, "", region=region_of("xxx. xxx. ...."), name="road")
    answers = [first, second]
    places = [place_cells(each, (3, 4)) for each in answers]
    found = examples_of(answers, places, {"sky": 0, "road": 1})
    assert dict(zip(found.cells.tolist(), found.classes.tolist(), strict=True)) == {
        **dict.fromkeys((0, 1, 2, 4, 5, 6), 1),
        3: 0,
    }
    assert contradictions(answers, places) == {0: 1}
    # Only half of the second region is answered otherwise then.
    assert contradictions(answers[::-1], places[::-1]) == {}
    assert contradictions([first, first], [places[0]] * 2) == {}
