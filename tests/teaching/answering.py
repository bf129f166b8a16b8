"""Answers in tests."""

import json
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from segdistill.teaching.answers import Answer, Answers, Region, Stroke
from segdistill.teaching.exchange import ImportedAnswers, read_answer_file
from segdistill.teaching.session import TaughtImage

IMAGES = (
    TaughtImage("a.png", 40, 30, "d1"),
    TaughtImage('sub folder/bé, "x";.jpg', 64, 48, "d2"),
    TaughtImage("sub folder/ c.png ", 7, 5, ""),
)
NAMES = ("sky", "wet road", 'Straße, "x"; <y>', "=1+1", "a|b")


def read(
    folder: Path,
    content: str | bytes | object,
    *,
    name: str = "in.csv",
    images: Sequence[TaughtImage] = IMAGES,
    earlier: Answers | None = None,
) -> ImportedAnswers:
    """Read a file of some content."""
    path = folder / name
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_answer_file(path, images, earlier)


def clicks(imported: ImportedAnswers) -> list[tuple[str, float, float, str]]:
    """Return image, x, y and class of the answers, which have to be clicks."""
    found = []
    for each in imported.answers.answers:
        assert each.stroke is not None
        [(x, y)] = each.stroke.points
        found.append((each.image, x, y, each.name))
    return found


def regions(imported: ImportedAnswers) -> list[Region]:
    """Return the regions of the answers, which have to be regions."""
    found = [each.region for each in imported.answers.answers if each.region is not None]
    assert len(found) == len(imported.answers.answers)
    return found


@st.composite
def places(draw: st.DrawFn, width: int, height: int) -> Region | Stroke:
    if draw(st.booleans()):
        lengths = draw(st.lists(st.integers(1, 9), min_size=2, max_size=9))
        lengths[0] -= draw(st.integers(0, 1))
        return Region(1, sum(lengths), tuple(lengths))
    x = st.floats(0, width, exclude_max=True) | st.integers(0, width - 1)
    y = st.floats(0, height, exclude_max=True) | st.integers(0, height - 1)
    return Stroke(tuple(draw(st.lists(st.tuples(x, y), min_size=1, max_size=4))))


@st.composite
def single_answers(draw: st.DrawFn) -> Answer:
    image = draw(st.sampled_from(IMAGES))
    place = draw(places(image.width, image.height))
    verdict = draw(st.sampled_from(["class", "several", "skipped"]))
    time = draw(st.just("") | st.datetimes().map(lambda each: each.isoformat() + "+00:00"))
    return Answer(
        *(image.name, image.width, image.height, time),
        region=place if isinstance(place, Region) else None,
        stroke=place if isinstance(place, Stroke) else None,
        verdict=verdict,  # type: ignore[arg-type]
        name=draw(st.sampled_from(NAMES)) if verdict == "class" else "",
        digest=draw(st.sampled_from(["", image.digest, "of an earlier version"])),
    )


many_answers = st.lists(single_answers(), max_size=6)


def with_names(answers: Sequence[Answer], classes: Sequence[str] = NAMES) -> Answers:
    """Return answers and classes together."""
    return Answers(Answers().with_classes(classes).classes, tuple(answers))
