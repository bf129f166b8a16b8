"""The page of an evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.pages import Page, check_accessible, check_self_contained, read_page

from segdistill.errors import UserError
from segdistill.evaluation.boundary import BoundaryCounts
from segdistill.evaluation.confusion import score
from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.evaluation.result import TITLES, Evaluation, is_label_class
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.report.evaluation_page import write_evaluation_page
from segdistill.report.rendering import LISTED_SKIPS

NAMES = ("sky", "sea & <i>foam</i>", "sand")
CLUSTER = np.array([[0, 60, 0, 0], [30, 0, 0, 0], [5, 5, 0, 0], [0, 0, 20, 0], [1, 0, 4, 0]])
LINEAR = np.array([[36, 5, 0, 0], [0, 60, 4, 0], [0, 0, 20, 0], [0, 0, 0, 0]])


def evaluation(kinds: Sequence[str] = tuple(TITLES), **changes: Any) -> Evaluation:
    counts = {kind: LINEAR if is_label_class(kind) else CLUSTER for kind in kinds}
    values: dict[str, Any] = {
        "scores": {
            kind: score(each, matched=is_label_class(kind)) for kind, each in counts.items()
        },
        "counts": counts,
        "clusters": tuple(f"class {number}" for number in range(5)),
        "names": NAMES,
        "images": 1200,
        "protocol": {
            "resolution": 320,
            "square": True,
            "resampling": "nearest",
            "mirror": True,
            "crf": True,
            "enlarge_codes": True,
        },
        "run": "my run",
    }
    return Evaluation(**(values | changes))


def page_of(folder: Path, shown: Evaluation) -> Page:
    path = folder / "out" / "evaluation.html"
    write_evaluation_page(path, shown)
    return read_page(path)


def test_page_needs_nothing_else(tmp_path: Path) -> None:
    page, reader = page_of(tmp_path, evaluation())
    check_self_contained(page, reader)
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    policy = next(text for text in reader.attributes("meta", "content") if "default-src" in text)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_page_holds_all_numbers(tmp_path: Path) -> None:
    _, reader = page_of(tmp_path, evaluation())
    words = reader.words().replace("\N{NO-BREAK SPACE}", " ")
    for title in TITLES.values():
        assert title in words
    for kind in ("cluster", "linear"):
        scores = evaluation().scores[kind]
        for share in (scores.accuracy, scores.mean_iou, *scores.iou[:3]):
            assert f"{share:.1%}" in words
    for name in NAMES:
        assert name in words
    # It has no name, and no pixel has it.
    assert "label 3" not in words
    assert "class 1 → sky" in words
    assert "class 2, unmatched" in words
    assert "1,200 images" in words
    assert "125 labelled pixels" in words
    assert "my run" in words
    assert "320 pixels" in words
    assert "the middle square" in words
    assert "None: all images were scored" in words
    assert "Correspondences" not in words


def test_page_holds_boundary_f_where_it_was_counted(tmp_path: Path) -> None:
    hits = np.zeros((5, 4), np.int64)
    hits[1, 0] = 30  # of 40 predicted, and of 50 in the labels
    counts = BoundaryCounts(np.array([7, 40, 0, 0, 0]), np.array([50, 20, 0, 0]), hits, hits)
    _, reader = page_of(tmp_path, evaluation(boundaries={"cluster": counts}))
    words = reader.words().replace("\N{NO-BREAK SPACE}", " ")
    # Two thirds for sky, nothing for the sea; the others have no boundary.
    assert words.count("Boundary F33.3%") == 1
    assert "F score" in words
    _, reader = page_of(tmp_path, evaluation())
    assert "Boundary F" not in reader.words()


def test_confusion_matrices_are_tables(tmp_path: Path) -> None:
    _, reader = page_of(tmp_path, evaluation(["cluster"]))
    cells = [found for tag, found in reader.tags if tag == "td" and "style" in found]
    table = evaluation(["cluster"]).table("cluster")
    assert len(cells) == np.count_nonzero(table.counts)
    framed = [found for _, found in reader.tags if "agrees" in (found.get("class") or "")]
    assert len(framed) == 3
    headings = reader.attributes("th", "scope")
    assert headings.count("row") >= 4
    # Of each matrix the heading says what it is to those who do not see it.
    assert "Confusion matrix: Clusters" in reader.attributes("div", "aria-label")


def test_one_kind_and_no_protocol_is_enough(tmp_path: Path) -> None:
    _, reader = page_of(tmp_path, evaluation(["linear"], protocol={}, run=""))
    words = reader.words()
    assert "Clusters" not in words
    assert "a model in memory" in words


def test_page_can_be_used_without_seeing_or_pointing(tmp_path: Path) -> None:
    check_accessible(*page_of(tmp_path, evaluation(curves=some_curves())))


def test_everything_given_is_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
    shown = evaluation(
        names=(hostile, "caf\udce9", "sand"),
        run=hostile,
        clusters=(hostile,) * 5,
        skipped=(SkippedImage(ImageFile(Path(hostile), Path(hostile)), f"{hostile}: {hostile}"),),
        curves=(PrecisionRecall(hostile, np.array([0.0]), np.array([1.0]), 1.0, 1, 1),),
    )
    page, reader = page_of(tmp_path, shown)
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert "<script>alert" not in page
    assert hostile in reader.text
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]


def some_curves() -> tuple[PrecisionRecall, ...]:
    recall = np.linspace(0, 1, 50)
    return (
        PrecisionRecall("features", recall, 1 - recall, 0.5, 10, 5),
        PrecisionRecall("codes", recall, recall * 0, 0.7654, 10, 5),
    )


def test_curves_have_a_section_of_their_own(tmp_path: Path) -> None:
    _, reader = page_of(tmp_path, evaluation(curves=some_curves()))
    # The chart, and a sample of each line.
    assert [tag for tag, _ in reader.tags].count("svg") == 3
    words = reader.words()
    assert "Correspondences" in words
    assert "features 0.500" in words
    assert "codes 0.765" in words


def test_skipped_files_are_listed(tmp_path: Path) -> None:
    files = [ImageFile(Path(f"/photos/{n}.jpg"), Path()) for n in range(LISTED_SKIPS + 5)]
    many = tuple(SkippedImage(file, f"{file.path}: the file is empty") for file in files)
    words = page_of(tmp_path, evaluation(skipped=many))[1].words()
    assert f"{len(many)} images could not be scored" in words
    assert "/photos/0.jpg the file is empty" in words
    assert "5 more files: see evaluation.json" in words


def test_very_large_matrices_are_left_to_their_files(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (200, 150))
    shown = evaluation(
        scores={"cluster": score(counts)},
        counts={"cluster": counts},
        clusters=tuple(map(str, range(200))),
    )
    page, reader = page_of(tmp_path, shown)
    assert "confusion_cluster.csv" in reader.words()
    assert len(page) < 200_000


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="a file exists where a folder is needed"):
        write_evaluation_page(tmp_path / "out" / "evaluation.html", evaluation())
