"""A session: questions, answers, corrections, and what is made from them."""

import numpy as np
import pytest
import torch
from tests.teaching.worlds import GRID, RUN_CLASSES, kinds_of_cells, session, striped_pool

from segdistill.errors import UserError
from segdistill.teaching.answers import Answer, Answers, Stroke
from segdistill.teaching.questions import plan_round
from segdistill.teaching.session import TeachingSession

NAMES = ("left", "middle", "right")


def taught(count: int, **options: object) -> TeachingSession:
    """A session in which the first questions were answered rightly."""
    made = session(**options)  # type: ignore[arg-type]
    made.change(made.answers.with_classes(NAMES))
    for _ in range(count):
        question = made.question()
        assert question is not None
        made.answer(question, "class", NAMES[truth(made, question.cells)])
    return made


def truth(made: TeachingSession, cells: np.ndarray) -> int:
    kinds = np.tile(kinds_of_cells(), len(made.images))[cells]
    return int(np.bincount(kinds).argmax())


def masks(made: TeachingSession) -> torch.Tensor:
    return torch.cat([made.logits(n).argmax(dim=1) for n in range(len(made.images))])


def test_the_first_questions_are_about_the_largest_clusters() -> None:
    pool = striped_pool()
    asked = np.zeros(len(pool.valid), np.bool_)
    questions = plan_round(pool, None, asked, seed=0, count=3)
    kinds = np.tile(kinds_of_cells(), 6)
    assert {int(kinds[each.cells[0]]) for each in questions} == {0, 1, 2}
    assert sum(each.share for each in questions) == pytest.approx(1)
    shares = [each.share for each in questions]
    assert shares == sorted(shares, reverse=True)
    for each in questions:
        assert len(set(kinds[each.cells].tolist())) == 1
        (image,) = np.unique(pool.image_of(each.cells))
        others = [int(pool.image_of(cells)[0]) for cells in each.alike]
        assert others
        assert image not in others
        assert {int(kinds[cells[0]]) for cells in each.alike} == {int(kinds[each.cells[0]])}


def test_questions_are_repeatable_and_not_asked_twice() -> None:
    made, again = session(), session()
    first, same = made.question(), again.question()
    assert first is not None
    assert same is not None
    np.testing.assert_array_equal(first.cells, same.cells)
    made.answer(first, "skipped")
    second = made.question()
    assert second is not None
    assert not set(first.cells.tolist()) & set(second.cells.tolist())


def test_questions_end() -> None:
    made = session(images=1)
    for _ in range(100):
        question = made.question()
        if question is None:
            break
        made.answer(question, "skipped")
    assert made.question() is None
    assert len(made.answers.answers) < 20


def test_three_answers_teach_the_stripes() -> None:
    made = taught(3)
    expected = torch.from_numpy(kinds_of_cells()).view(GRID).expand(6, *GRID)
    assert (masks(made) == expected).float().mean() > 0.99
    assert [each.name for each in made.classes] == list(NAMES)
    question = made.question()
    if question is not None:
        assert made.guess(question.cells) == NAMES[truth(made, question.cells)]


def test_what_is_not_taught_stays_a_cluster() -> None:
    made = taught(1, untaught=RUN_CLASSES)
    # Two stripes were not taught; the class that was named has no cells of theirs.
    names = [each.name for each in made.classes]
    assert names[:3] == list(NAMES)
    assert len(names) == 5
    kinds = np.tile(kinds_of_cells(), 6)
    answered = NAMES.index(made.answers.answers[0].name)
    predicted = masks(made).flatten().numpy()
    assert set(predicted[kinds == answered].tolist()) == {answered}
    assert (predicted[kinds != answered] >= 3).all()
    # Without: every cell gets a taught class.
    assert len(taught(1).classes) == 3


def test_clusters_that_were_not_taught_are_asked_about() -> None:
    made = taught(1, untaught=RUN_CLASSES)
    kinds = np.tile(kinds_of_cells(), 6)
    for _ in range(2):
        known = {NAMES.index(each.name) for each in made.answers.answers}
        question = made.question()
        assert question is not None
        kind = int(kinds[question.cells[0]])
        assert kind not in known
        made.answer(question, "class", NAMES[kind])
    assert [each.name for each in made.classes] == list(NAMES)


def test_a_click_corrects_the_place() -> None:
    made = taught(3)
    assert int(made.logits(0)[0].argmax(dim=0)[0, 0]) == 0
    made.draw(0, [(1.0, 1.0)], "right")
    made.draw(0, [(1.0, 20.0), (1.0, 90.0)], "right")
    assert int(made.logits(0)[0].argmax(dim=0)[0, 0]) == 2
    made.change(made.answers.undo().undo())
    assert int(made.logits(0)[0].argmax(dim=0)[0, 0]) == 0


@pytest.mark.parametrize("point", [(128.0, 1.0), (-1.0, 1.0), (1.0, float("nan"))])
def test_a_click_outside_is_refused_and_nothing_changes(point: tuple[float, float]) -> None:
    made = taught(1)
    before = made.answers
    with pytest.raises(UserError, match=r"0\.png: a click outside the image, which is 128 x 96"):
        made.draw(0, [point], "left")
    with pytest.raises(UserError, match="no such class"):
        made.draw(0, [(1.0, 1.0)], "sky")
    assert made.answers is before


def test_every_change_is_kept_before_it_counts() -> None:
    kept: list[Answers] = []
    made = taught(2, kept=kept)
    assert kept[-1] == made.answers
    assert len(kept) == 3

    def full(_answers: Answers) -> None:
        raise UserError("answers.json: the disk is full")

    made._keep = full
    before = made.answers
    question = made.question()
    assert question is not None
    with pytest.raises(UserError, match="disk is full"):
        made.answer(question, "several")
    assert made.answers is before


def test_answers_that_cannot_be_used_are_kept_and_say_why() -> None:
    made = taught(3)
    click = Stroke(((1.0, 1.0),))
    gone = Answer("gone.png", 128, 96, "", stroke=click, name="left")
    changed = Answer("1.png", 128, 96, "", stroke=click, name="left", digest="other")
    overruled = Answer("2.png", 128, 96, "", stroke=click, name="left")
    later = Answer("2.png", 128, 96, "", stroke=click, name="right", digest="digest2")
    answers = made.answers
    for each in (gone, changed, overruled, later):
        answers = answers.with_answer(each)
    made.change(answers)
    assert [(each.index, each.reason) for each in made.unused()] == [
        (3, "gone.png is not among the images"),
        (4, "1.png has changed since"),
        (5, "answer 7 says right"),
    ]
    assert len(made.answers.answers) == 7


def test_the_estimate_holds_answers_back_by_image() -> None:
    made = taught(20, images=12)
    estimate = made.estimate()
    assert estimate is not None
    assert estimate.accuracy > 0.9
    assert taught(2).estimate() is None
    # Answers at random teach nothing, and the estimate says so.
    wrong = session(images=12)
    wrong.change(wrong.answers.with_classes(NAMES))
    random = np.random.default_rng(0)
    for _ in range(40):
        question = wrong.question()
        if question is None:
            break
        wrong.answer(question, "class", NAMES[int(random.integers(3))])
    doubtful = wrong.estimate()
    assert doubtful is not None
    assert doubtful.accuracy < 0.7


def test_one_class_only_is_everywhere() -> None:
    made = session()
    made.change(made.answers.with_classes(["all"]))
    question = made.question()
    assert question is not None
    made.answer(question, "class", "all")
    assert (masks(made) == 0).all()
    assert made.question() is not None
