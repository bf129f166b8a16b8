"""Teaching in the app, without a page."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segdistill.api.classes import name_classes
from segdistill.api.teacher import open_teacher
from segdistill.app import views
from segdistill.app.events import is_request_of_the_page
from segdistill.app.outline import borders, outline_path, smoothed
from segdistill.app.pictures import MissingPicture
from segdistill.app.state import AppState
from segdistill.app.teaching import Quality
from segdistill.app.teaching_view import KEYS, Place, TeachingView, sentences
from segdistill.images.finding import find_images
from segdistill.model.segmenter import Segmenter
from segdistill.teaching.answers import Answers
from segdistill.teaching.answers_file import AnswersChangedError, read_answers
from segdistill.teaching.estimate import Estimate

NAMES = ["sky", "rock", "grass"]


@pytest.fixture
def taught(run: Path, photos: Path) -> Iterator[AppState]:
    """The app's state, with three classes to teach."""
    state = AppState(run, find_images(photos))
    state.teach.change({"do": "add_classes", "names": ", ".join(NAMES)})
    yield state
    state.close()


def change(state: AppState, **action: Any) -> TeachingView:
    """What the page shows after an action that succeeds."""
    revision = state.teach.view().revision
    view = state.teach.change({"revision": revision} | action)
    assert not view.outcome.failed, view.outcome.message
    return view


def refusal(state: AppState, **action: Any) -> str:
    view = state.teach.change(action)
    assert view.outcome.failed
    return view.outcome.message


def question(state: AppState) -> str:
    card = state.teach.view().question
    assert card is not None
    return card.id


def true_class(state: AppState) -> str:
    """The class of the region that is asked about, by its colour."""
    with state.teach.teaching.teacher() as teacher:
        asked = teacher.session.question()
        assert asked is not None
        image = int(teacher.session.pool.image_of(asked.cells[:1])[0])
        height, width = teacher.session.pool.grids[image]
        cell = int(asked.cells[len(asked.cells) // 2] - teacher.session.pool.starts[image])
        pixels = teacher.segmenter.read(teacher.files[image].path)
        side = pixels.shape[0] // height
        row, column = divmod(cell, width)
        colour = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        red, green, blue = colour.mean(axis=(0, 1))
    return "grass" if green > blue else "sky" if blue > 1.3 * red else "rock"


def answer(state: AppState, name: str = "") -> TeachingView:
    verdict = {"verdict": "class", "name": name or true_class(state)}
    return change(state, do="answer", question=question(state), **verdict)


def given_names(run: Path) -> list[str]:
    return [each.name for each in read_answers(run).answers]


def test_answers_are_stored_and_the_taught_run_follows(taught: AppState, run: Path) -> None:
    said = [answer(taught).outcome.message for _ in range(6)]
    assert said == [f"Saved: {name}." for name in given_names(run)]
    progress = taught.teach.progress()
    assert progress.lines[0] == "6 answers."
    assert (progress.folder, progress.mistake) == (str(run / "taught"), "")
    model = Segmenter.load(run / "taught")
    assert [each.name for each in model.classes][:3] == NAMES
    with taught.teach.teaching.teacher() as teacher:
        scores = teacher.scores(2)
        expected = model.grid_scores(teacher.segmenter.read(teacher.files[2].path))
    np.testing.assert_allclose(scores, expected, atol=2e-2)


def test_the_session_begins_again_where_it_ended(taught: AppState, run: Path, photos: Path) -> None:
    for _ in range(3):
        answer(taught)
    taught.close()
    again = AppState(run, find_images(photos)).teach.view()
    assert [each.name for each in again.classes] == NAMES
    assert sum(each.answers for each in again.classes) == 3
    assert [each.key for each in again.classes] == ["1", "2", "3"]


def test_a_question_is_answered_once(taught: AppState, run: Path) -> None:
    first = question(taught)
    answer(taught, "sky")
    late = refusal(taught, do="answer", question=first, verdict="class", name="rock")
    assert "answered already" in late
    assert given_names(run) == ["sky"]


def test_undo_asks_the_question_again(taught: AppState, run: Path) -> None:
    first = question(taught)
    answer(taught, "sky")
    assert question(taught) != first
    view = change(taught, do="undo_answer")
    assert (view.outcome.message, question(taught)) == ("Undone: sky.", first)
    assert view.can_redo
    assert change(taught, do="redo_answer").outcome.message == "Redone: sky."
    assert question(taught) != first
    assert given_names(run) == ["sky"]
    change(taught, do="undo_answer")
    assert "no answer to undo" in refusal(taught, do="undo_answer")


def test_several_and_skipped(taught: AppState, run: Path) -> None:
    several = {"do": "answer", "question": question(taught), "verdict": "several"}
    # A name means nothing then.
    assert change(taught, **several, name="sky").outcome.message == "Saved: several things."
    change(taught, do="answer", question=question(taught), verdict="skipped")
    assert [each.verdict for each in read_answers(run).answers] == ["several", "skipped"]
    assert taught.teach.progress().folder == ""
    assert all(each.mask == "" for each in masks(taught) if not isinstance(each, MissingPicture))


def masks(state: AppState, page: int = 0) -> list[Any]:
    return list(state.teach.masks(Place(strip=page)).images)


def test_a_click_and_a_stroke_are_answers_in_the_pixels_of_the_image(
    taught: AppState, run: Path
) -> None:
    image = masks(taught)[0].name
    change(taught, do="draw", image=image, name="sky", points=[[5, 3]])
    change(taught, do="draw", image=image, name="grass", points=[[2, 60.5], [90, 61]])
    click, stroke = read_answers(run).answers
    assert click.stroke is not None
    assert stroke.stroke is not None
    assert (click.image, click.width, click.height) == (image, 96, 64)
    assert [list(each.stroke.points) for each in (click, stroke) if each.stroke] == [
        [(5, 3)],
        [(2, 60.5), (90, 61)],
    ]
    shown = next(each for each in masks(taught) if each.name == image)
    assert [mark.path for mark in shown.marks] == ["M5 3h0.01", "M2 60.5L90 61"]
    assert shown.mask.startswith("data:image/png")
    assert "outside the image" in refusal(
        taught, do="draw", image=image, name="sky", points=[[96, 0]]
    )
    assert "no such class" in refusal(taught, do="draw", image=image, name="sea", points=[[0, 0]])
    gone = refusal(taught, do="draw", image="gone.png", name="sky", points=[[0, 0]])
    assert gone == "gone.png: no longer among the images"


def test_answers_can_be_changed_and_removed(taught: AppState, run: Path) -> None:
    for name in ("sky", "sky", "rock"):
        answer(taught, name)
    changed = change(taught, do="change_answer", index="1", verdict="class", name="grass")
    assert changed.outcome.message == "Answer 2 is now grass."
    change(taught, do="change_answer", index=0, verdict="several")
    change(taught, do="remove_answer", index=2)
    assert given_names(run) == ["", "grass"]
    assert "there are 2" in refusal(
        taught, do="remove_answer", index=2, revision=taught.teach.view().revision
    )
    # A page that has not seen the changes has other numbers.
    assert "changed elsewhere" in refusal(taught, do="remove_answer", index=0, revision="old")


def test_the_list_of_answers(taught: AppState) -> None:
    for _ in range(10):
        answer(taught)
    image = masks(taught)[0].name
    for name in ("sky", "grass"):
        change(taught, do="draw", image=image, name=name, points=[[5, 3]])
    assert taught.teach.given(Place()).listed is None
    view = taught.teach.given(Place(listed=0))
    assert (view.answers, view.listed_page, view.listed_pages, view.unused) == (12, 0, 2, 1)
    assert view.listed is not None
    assert [each.index for each in view.listed] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert [each.reason for each in view.listed[:2]] == ["", "answer 12 says grass"]
    assert all(each.crop is not None for each in view.listed)
    kind, content = view.table.split(",", 1)
    assert kind == "data:text/csv;base64"
    assert base64.b64decode(content).decode().count("\n") == 13
    last = taught.teach.given(Place(listed=99)).listed
    assert last is not None
    assert [each.index for each in last] == [1, 0]
    html = views.below_question(taught, Place(listed=0))[1]
    assert "Not used: answer 12 says grass" in html


def test_classes_are_renamed_recoloured_and_removed(taught: AppState, run: Path) -> None:
    answer(taught, "sky")
    change(taught, do="rename_class", name="sky", new=" air ")
    change(taught, do="recolour_class", name="air", colour=["1", "2", "3"])
    change(taught, do="remove_class", name="rock")
    classes = taught.teach.given(Place()).classes
    assert [(each.name, each.answers) for each in classes] == [("air", 1), ("grass", 0)]
    assert classes[0].colour == "#010203"
    assert given_names(run) == ["air"]
    assert "1 answer names" in refusal(taught, do="remove_class", name="air")
    assert "already" in refusal(taught, do="add_classes", names="moss, Grass")
    assert "Type the names" in refusal(taught, do="add_classes", names=" ,\n")
    assert read_answers(run).names == ["air", "grass"]


def test_what_is_not_taught_stays_and_is_named(taught: AppState, run: Path) -> None:
    before = taught.teach.given(Place()).untaught
    assert len(before) == 4
    answer(taught, "sky")
    assert len(taught.teach.given(Place()).untaught) == 3
    # Names given in the run, by this or another program, are those shown.
    name_classes(run, {index: f"part {index}" for index in range(4)})
    left = taught.teach.given(Place()).untaught
    assert {name for _, name in left} < {f"part {index}" for index in range(4)}


def test_answers_given_elsewhere_are_not_overwritten(
    taught: AppState, run: Path, photos: Path
) -> None:
    answer(taught, "sky")
    other = open_teacher(run, photos)
    asked = other.session.question()
    assert asked is not None
    other.session.answer(asked, "class", "rock")
    answer(taught, "grass")
    assert given_names(run) == ["sky", "rock", "grass"]
    # The other program has not seen the last one, and says so instead of losing it.
    with pytest.raises(AnswersChangedError, match="changed by another program"):
        other.session.answer(asked, "skipped")
    assert other.follow()
    assert not other.follow()
    assert [each.name for each in other.session.answers.answers] == ["sky", "rock", "grass"]


def test_answers_written_in_the_very_moment_are_kept_too(
    taught: AppState, run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_teacher(run, photos)
    with taught.teach.teaching.teacher() as teacher:
        session = teacher.session
    keep = session._keep

    def after_another(answers: Answers) -> None:
        monkeypatch.setattr(session, "_keep", keep)
        other.session.change(other.session.answers.with_classes(["water"]))
        keep(answers)

    monkeypatch.setattr(session, "_keep", after_another)
    change(taught, do="add_classes", names="moss")
    assert read_answers(run).names == [*NAMES, "water", "moss"]


def test_a_damaged_file_of_answers_is_told_in_the_page(taught: AppState, run: Path) -> None:
    (run / "answers.json").write_text("{")
    html = views.teaching(taught)
    assert 'role="alert"' in html
    assert "answers.json" in html
    assert "answers.json" in views.changed(taught, {"do": "undo_answer"})
    assert views.below_question(taught, Place()) == ("", "")
    assert (run / "answers.json").read_text() == "{"


def test_a_taught_run_that_cannot_be_saved_is_told(taught: AppState, run: Path) -> None:
    (run / "taught").mkdir()
    (run / "taught" / "mine.txt").write_text("no run")
    answer(taught, "sky")
    progress = taught.teach.progress()
    assert "exists and is not a taught run" in progress.mistake
    assert progress.folder == ""
    assert given_names(run) == ["sky"]


def test_a_run_without_images_says_so(run: Path) -> None:
    state = AppState(run, [])
    assert "--images" in views.teaching(state)
    assert views.below_question(state, Place()) == ("", "")
    assert views.teaching_progress(state) == ""


def test_an_image_that_has_gone_is_told(run: Path, photos: Path, tmp_path: Path) -> None:
    state = AppState(run, find_images(photos))
    change(state, do="add_classes", names="sky")
    with state.teach.teaching.teacher() as teacher:
        for file in teacher.files:
            object.__setattr__(file, "path", tmp_path / "gone.png")
    assert all(isinstance(each, MissingPicture) for each in masks(state))
    html = views.teaching(state)
    assert "cannot be shown" in html
    assert "Skip" in html


def test_opening_tells_its_progress(run: Path, photos: Path) -> None:
    told: list[tuple[str, int, int]] = []
    state = AppState(run, find_images(photos))
    state.teach.view(report=lambda *done: told.append(done))
    assert ("Reading features", 14, 14) in told
    count = len(told)
    state.teach.view(report=lambda *done: told.append(done))
    assert len(told) == count


def test_names_are_shown_as_they_are(taught: AppState) -> None:
    change(taught, do="add_classes", names="<b>${1}{{x}}`")
    for html in (views.teaching(taught), *views.below_question(taught, Place(listed=0))):
        assert "<b>" not in html
    assert "&lt;b&gt;${1}{{x}}`" in views.teaching(taught)


def test_progress_in_sentences() -> None:
    assert sentences(45, Quality(43, Estimate(0.81, 0.03, 43), 0.005)) == [
        "45 answers.",
        "About 81% of the pixels correct (± 3), estimated by cross-validation on 43 answers.",
        "The last 20 answers changed 0.5% of the pixels.",
        "Further answers will change little.",
    ]
    assert sentences(1, Quality(0, None, None)) == ["1 answer."]
    assert len(sentences(45, Quality(43, None, 0.2))) == 2


def test_keys_of_classes_stand_for_nothing_else() -> None:
    assert len(set(KEYS)) == len(KEYS)
    assert not set(KEYS) & set("0sur")


@pytest.mark.parametrize(
    "action",
    [
        {"do": "answer", "question": "a", "verdict": "class", "name": "sky"},
        {"do": "draw", "image": "a.png", "name": "sky", "points": [[1, 2.5]]},
        {"do": "list_answers", "page": "0", "show": "no"},
    ],
)
def test_the_page_may_ask(action: dict[str, Any]) -> None:
    assert is_request_of_the_page(action)


@pytest.mark.parametrize(
    "action",
    [
        {"do": "answer", "question": "a", "verdict": "maybe"},
        {"do": "answer", "verdict": "skipped"},
        {"do": "draw", "image": "a.png", "name": "sky", "points": []},
        {"do": "draw", "image": "a.png", "name": "sky", "points": [[1]]},
        {"do": "draw", "image": "a.png", "name": "sky", "points": [[float("nan"), 1]]},
        {"do": "draw", "image": "a.png", "name": "sky", "points": [[-1, 1]]},
        {"do": "draw", "image": "a.png", "name": "sky", "points": [[1, 1]] * 10_001},
        {"do": "draw", "image": "a.png", "name": "\ud800", "points": [[1, 1]]},
        {"do": "recolour_class", "name": "sky", "colour": [0, 0, 256]},
        {"do": "change_answer", "index": -1, "verdict": "skipped"},
        {"do": "remove_answer", "index": "x"},
        {"do": "remove_answer", "index": 0, "run": "other"},
        {"do": "add_classes", "names": ["sky"]},
        {"do": "add_classes", "names": "x" * 20_001},
        {"do": "list_answers", "page": 0, "show": "perhaps"},
    ],
)
def test_the_page_may_not_ask(action: dict[str, Any], taught: AppState, run: Path) -> None:
    assert not is_request_of_the_page(action)
    before = read_answers(run)
    assert "invalid request" in refusal(taught, **action)
    assert read_answers(run) == before


@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_outlines_enclose_exactly_the_region(inside: NDArray[np.bool_]) -> None:
    lines = [np.array(line, np.float64) for line in borders(inside)]
    # Holes are run through the other way around.
    area = sum(
        float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 for x, y in (line.T for line in lines)
    )
    assert area == inside.sum()
    for line in lines:
        assert np.abs(line - np.roll(line, -1, axis=0)).sum(axis=1).tolist() == [1.0] * len(line)
        smooth = np.array(smoothed([(x, y) for x, y in line.tolist()]))
        assert (smooth.min(axis=0) >= line.min(axis=0)).all()
        assert (smooth.max(axis=0) <= line.max(axis=0)).all()
    assert outline_path(inside, (60, 60)).count("Z") == len(lines)
