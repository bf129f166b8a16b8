"""Scores as JSON, CSV and text."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.evaluation.boundary import BoundaryCounts
from segdistill.evaluation.confusion import score, score_as_released, score_many_to_one
from segdistill.evaluation.output import (
    check_output_folder,
    output_files,
    scores_text,
    write_confusion_csv,
)
from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.evaluation.record import read_record, record_of, write_record
from segdistill.evaluation.result import Evaluation, is_label_class
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.json_files import as_json
from segdistill.version import __version__


def evaluation(**counts: NDArray[np.int64]) -> Evaluation:
    return Evaluation(
        scores={kind: score(each, matched=is_label_class(kind)) for kind, each in counts.items()},
        counts=counts,
        clusters=("class 0", "class 1", "class 2"),
        names=("sky", "sea"),
        images=4,
        skipped=(SkippedImage(ImageFile(Path("a.png"), Path("a.png")), "a.png: empty"),),
        protocol={"resolution": 64, "crf": False},
        run="photos",
    )


def content_of(scored: Evaluation) -> dict[str, Any]:
    """The content of the file, as anyone reads it."""
    content: dict[str, Any] = json.loads(as_json(record_of(scored)))
    return content


CLUSTER = np.array([[0, 60], [30, 0], [5, 5]])
LINEAR = np.array([[35, 5], [0, 60]])


def test_json_holds_all_kinds(tmp_path: Path) -> None:
    write_record(tmp_path, record_of(evaluation(cluster=CLUSTER, linear=LINEAR)))
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["images"] == 4
    assert content["run"] == "photos"
    assert content["skipped"] == [{"file": "a.png", "reason": "a.png: empty"}]
    assert content["protocol"] == {"resolution": 64, "crf": False}
    cluster, linear = content["scores"]["cluster"], content["scores"]["linear"]
    assert cluster["accuracy"] == pytest.approx(0.9)
    assert cluster["pixels"] == 100
    assert cluster["unmatched"] == [2]
    assert cluster["classes"] == [
        {"index": 0, "name": "sky", "pixels": 35, "iou": 30 / 35, "matched": 1},
        {"index": 1, "name": "sea", "pixels": 65, "iou": 60 / 65, "matched": 0},
    ]
    assert linear["accuracy"] == pytest.approx(0.95)
    assert linear["classes"][1]["matched"] == 1


def test_the_released_numbers_come_with_extra_clusters_alone() -> None:
    scores = content_of(evaluation(cluster=CLUSTER, linear=LINEAR))["scores"]
    released = score_as_released(CLUSTER)
    assert scores["cluster"]["as_released"] == {
        "accuracy": released.accuracy,
        "mean_iou": released.mean_iou,
    }
    assert scores["cluster"]["as_released"]["accuracy"] > scores["cluster"]["accuracy"]
    assert "as_released" not in scores["linear"]
    plain = evaluation(cluster=np.array([[9, 0, 0], [0, 9, 0], [0, 0, 1]]))
    assert "as_released" not in content_of(plain)["scores"]["cluster"]


def test_released_numbers_are_left_out_where_nothing_would_be_left() -> None:
    content = content_of(evaluation(cluster=np.array([[0, 0], [0, 0], [5, 0]])))
    assert "as_released" not in content["scores"]["cluster"]


def test_a_class_without_iou_is_null() -> None:
    content = content_of(evaluation(cluster=np.array([[9, 0], [1, 0], [0, 0]])))
    classes = content["scores"]["cluster"]["classes"]
    assert classes[1] == {"index": 1, "name": "sea", "pixels": 0, "iou": None, "matched": None}
    assert "NaN" not in json.dumps(content)


def with_boundaries() -> Evaluation:
    """Cluster 1 is sky, and finds half of its boundary; the sea has none."""
    pairs = np.array([[0, 0], [4, 0], [9, 0]])
    counts = BoundaryCounts(np.array([0, 4, 9]), np.array([8, 0]), pairs, pairs)
    return replace(
        evaluation(cluster=CLUSTER, linear=LINEAR),
        boundaries={"cluster": counts, "linear": BoundaryCounts.zeros(2, 2)},
    )


def test_boundary_f_where_it_was_counted() -> None:
    scores = content_of(with_boundaries())["scores"]
    assert scores["cluster"]["boundary_f"] == pytest.approx(2 / 3)
    assert [each["boundary_f"] for each in scores["cluster"]["classes"]] == [
        pytest.approx(2 / 3),
        None,
    ]
    assert scores["linear"]["boundary_f"] is None
    assert "NaN" not in json.dumps(scores)
    lines = scores_text(with_boundaries()).splitlines()
    assert lines[3].split() == ["Boundary", "F:", "66.7%", "-"]
    plain = evaluation(cluster=CLUSTER)
    assert "boundary" not in json.dumps(content_of(plain)["scores"])
    assert "Boundary" not in scores_text(plain)


def test_csv_has_a_row_for_each_label_class(tmp_path: Path) -> None:
    write_confusion_csv(tmp_path / "a.csv", evaluation(cluster=CLUSTER).table("cluster"))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["label", "class 1", "class 0", "class 2"],
        ["sky", "30", "0", "5"],
        ["sea", "0", "60", "5"],
    ]


def test_text_has_a_column_for_each_kind() -> None:
    text = scores_text(evaluation(cluster=CLUSTER, linear=LINEAR))
    lines = text.splitlines()
    assert lines[0].split() == ["Clusters", "Linear", "probe"]
    assert lines[1].split() == ["Accuracy:", "90.0%", "95.0%"]
    assert lines[4].split() == ["sky", "85.7%", "87.5%", "class", "1"]
    assert lines[-1] == "1 of 3 clusters match no label class; their pixels count as wrong."
    all_matched = evaluation(cluster=np.diag([3, 4, 5]))
    assert "match no label class" not in scores_text(all_matched)
    assert "label 2" in scores_text(all_matched)


def test_an_earlier_evaluation_is_refused_unless_asked(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "new", overwrite=False)
    (tmp_path / "notes.txt").write_text("mine")
    check_output_folder(tmp_path, overwrite=False)
    for path in output_files(tmp_path):
        path.write_text("")
        with pytest.raises(UserError, match=f"{path.name}: already exists; add --overwrite"):
            check_output_folder(tmp_path, overwrite=False)
        check_output_folder(tmp_path, overwrite=True)
        path.unlink()
    with pytest.raises(UserError, match=r"notes\.txt: is a file, not a folder"):
        check_output_folder(tmp_path / "notes.txt", overwrite=True)


def test_many_to_one_scores_beside_one_to_one_ones() -> None:
    half = np.array([[0, 30], [15, 0], [2, 3]])
    found = replace(evaluation(cluster=CLUSTER, linear=LINEAR), halves={"cluster": half})
    scores = content_of(found)["scores"]
    # Cluster 2 is split evenly, so one half of it is wrong each way.
    assert scores["cluster"]["many_to_one"]["accuracy"] == pytest.approx(0.95, abs=0.02)
    assert "many_to_one" not in scores["linear"]
    assert "Many-to-one accuracy:" in scores_text(found)
    assert "half of the images" in scores_text(found)
    as_many = replace(found, counts={"cluster": CLUSTER[:2]}, halves={"cluster": half[:2]})
    assert as_many.many_to_one("cluster") is None


def test_numbers_between_sparse_labels_are_not_listed(tmp_path: Path) -> None:
    counts = np.zeros((3, 81), np.int64)
    counts[[0, 1, 2], [0, 40, 80]] = 10, 20, 30
    sparse = replace(evaluation(cluster=counts), names=())
    lines = scores_text(sparse).splitlines()
    assert len(lines) == 3 + 1 + 3
    assert [line.split()[:2] for line in lines[-3:]] == [["label", n] for n in ("0", "40", "80")]
    content = content_of(sparse)["scores"]["cluster"]
    assert [each["index"] for each in content["classes"]] == [0, 40, 80]
    assert content["mean_iou"] == 1
    table = sparse.table("cluster")
    write_confusion_csv(tmp_path / "a.csv", table)
    with (tmp_path / "a.csv").open() as file:
        assert [row[0] for row in csv.reader(file)] == ["label", "label 0", "label 40", "label 80"]
    assert table.headings == ("class 0 → label 0", "class 1 → label 40", "class 2 → label 80")


def test_an_evaluation_is_read_as_written(tmp_path: Path) -> None:
    for scored in (evaluation(cluster=CLUSTER, linear=LINEAR), with_boundaries()):
        write_record(tmp_path, record_of(scored))
        assert read_record(tmp_path) == record_of(scored)


# As the first versions wrote it.
EARLY = """{"segdistill": "0.1.0", "run": "photos", "images": 4, "scores": {"cluster": {
  "accuracy": 0.9, "mean_iou": 0.75, "pixels": 100, "classes": [{"index": 0, "name": "sky",
  "iou": null, "cluster": 1}], "unmatched_clusters": [2]}}}"""


def test_evaluations_of_the_first_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(EARLY)
    record = read_record(tmp_path)
    assert (record.images, record.scores["cluster"].mean_iou) == (4, 0.75)


def test_damaged_evaluations_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no evaluation\.json; give the output"):
        read_record(tmp_path)
    (tmp_path / "evaluation.json").write_text(EARLY[:50])
    with pytest.raises(UserError, match=r"evaluation\.json: cannot be read .*evaluate the run"):
        read_record(tmp_path)
    (tmp_path / "evaluation.json").write_text(EARLY.replace("0.9", '"good"'))
    with pytest.raises(UserError, match=r"an evaluation .*`\$\.scores\[\.\.\.\]\.accuracy`"):
        read_record(tmp_path)


def test_the_whole_text_of_scores() -> None:
    pairs = np.array([[0, 0], [4, 0], [9, 0]])
    counts = BoundaryCounts(np.array([0, 4, 9]), np.array([8, 0]), pairs, pairs)
    half = np.array([[0, 30], [15, 0], [2, 3]])
    found = replace(
        evaluation(cluster=CLUSTER, linear=LINEAR),
        boundaries={"cluster": counts},
        halves={"cluster": half},
    )
    assert scores_text(found) == TEXT.strip("\n")


TEXT = """
                       Clusters  Linear probe
Accuracy:                 90.0%         95.0%
mIoU:                     89.0%         89.9%
Boundary F:               66.7%             -
Many-to-one accuracy:     94.0%             -
Many-to-one mIoU:         87.7%             -
IoU:                                           matched
  sky                     85.7%         87.5%  class 1
  sea                     92.3%         92.3%  class 0
1 of 3 clusters match no label class; their pixels count as wrong.
Many-to-one: each cluster is assigned to its best class, chosen on half of the images and\
 scored on the other half.
"""


def test_classes_that_nothing_matches_are_shown_so() -> None:
    text = scores_text(evaluation(cluster=np.array([[9, 0, 1]])))
    assert [line.split() for line in text.splitlines()[-3:]] == [
        ["sky", "90.0%", "class", "0"],
        ["sea", "-", "none"],
        ["label", "2", "0.0%", "none"],
    ]


def test_the_whole_content_of_the_file() -> None:
    pairs = np.array([[0, 0], [4, 0], [9, 0]])
    counts = BoundaryCounts(np.array([0, 4, 9]), np.array([8, 0]), pairs, pairs)
    half = np.array([[0, 30], [15, 0], [3, 2]])
    curve = PrecisionRecall("features", np.ones(1), np.ones(1), 0.75, 40, 10)
    found = replace(
        evaluation(cluster=CLUSTER),
        boundaries={"cluster": counts},
        halves={"cluster": half},
        curves=(curve,),
    )
    content = content_of(found)
    assert content.pop("segdistill") == __version__
    released = score_as_released(CLUSTER)
    many = score_many_to_one(half, CLUSTER - half)
    assert many is not None
    assert content == {
        "run": "photos",
        "images": 4,
        "skipped": [{"file": "a.png", "reason": "a.png: empty"}],
        "protocol": {"resolution": 64, "crf": False},
        "scores": {
            "cluster": {
                "accuracy": 0.9,
                "mean_iou": pytest.approx((30 / 35 + 60 / 65) / 2),
                "boundary_f": pytest.approx(2 / 3),
                "pixels": 100,
                "classes": [
                    {
                        "index": 0,
                        "name": "sky",
                        "pixels": 35,
                        "iou": 30 / 35,
                        "boundary_f": pytest.approx(2 / 3),
                        "matched": 1,
                    },
                    {
                        "index": 1,
                        "name": "sea",
                        "pixels": 65,
                        "iou": 60 / 65,
                        "boundary_f": None,
                        "matched": 0,
                    },
                ],
                "unmatched": [2],
                "many_to_one": {"accuracy": many.accuracy, "mean_iou": many.mean_iou},
                "as_released": {"accuracy": released.accuracy, "mean_iou": released.mean_iou},
            }
        },
        "correspondences": [
            {"name": "features", "average_precision": 0.75, "chance": 0.25, "pairs": 40}
        ],
    }


def test_files_of_an_evaluation(tmp_path: Path) -> None:
    kinds = ("cluster", "cluster_crf", "linear", "linear_crf")
    matrices = {f"confusion_{kind}.{suffix}" for kind in kinds for suffix in ("csv", "png")}
    assert {path.name for path in output_files(tmp_path)} == {
        "evaluation.json",
        "evaluation.html",
        *matrices,
    }
    assert {path.parent for path in output_files(tmp_path)} == {tmp_path}


def test_the_table_of_a_probe_lists_what_is_predicted_or_labelled() -> None:
    # Classes 0, 3 and 5 are labelled; 2 is predicted alone; 1 and 4 are nowhere.
    counts = np.zeros((6, 6), np.int64)
    counts[[0, 2, 5], [0, 3, 5]] = 10, 20, 30
    table = replace(evaluation(linear=counts), names=()).table("linear")
    assert table.rows == ("label 0", "label 3", "label 5")
    assert table.columns == ("label 0", "label 2", "label 3", "label 5")
    assert table.counts.tolist() == [[10, 0, 0, 0], [0, 20, 0, 0], [0, 0, 0, 30]]
    assert table.matched == (0, 2, 3)


def test_named_classes_are_listed_even_if_they_do_not_occur() -> None:
    counts = np.array([[5, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 0]])
    found = evaluation(cluster=counts)
    assert found.labels == ("sky", "sea", "label 2", "label 3")
    assert found.listed == (0, 1, 3)
    assert found.listed_labels == ((0, "sky"), (1, "sea"), (3, "label 3"))
    table = found.table("cluster")
    assert table.rows == ("sky", "sea", "label 3")
    assert table.counts.tolist() == [[5, 0, 0], [0, 0, 0], [2, 1, 0]]
    both = replace(found, counts={"cluster": counts, "linear": np.eye(4, dtype=np.int64)})
    assert both.listed == (0, 1, 2, 3)
    assert both.predictions("linear") == both.labels
    assert both.predictions("cluster") == ("class 0", "class 1", "class 2")


def test_many_to_one_scores_take_more_clusters_than_classes_that_occur() -> None:
    # Three clusters and three columns, of which two occur.
    counts = np.array([[8, 0, 0], [0, 0, 8], [4, 0, 1]])
    half = np.array([[3], [0], [2]])
    found = replace(evaluation(cluster=counts), halves={"cluster": half})
    padded = np.array([[3, 0, 0], [0, 0, 0], [2, 0, 0]])
    assert found.many_to_one("cluster") == score_many_to_one(padded, counts - padded)
    assert found.many_to_one("cluster") is not None
    assert replace(found, halves={}).many_to_one("cluster") is None
    assert found.best_class_scores("cluster").accuracy == pytest.approx(20 / 21)


def test_a_probe_may_know_fewer_classes_than_are_labelled() -> None:
    counts = np.array([[5, 0, 1], [0, 4, 0]])
    found = evaluation(linear=counts)
    assert found.predictions("linear") == ("sky", "sea")
    assert found.table("linear").columns == ("sky", "sea")
    assert found.table("linear").rows == ("sky", "sea", "label 2")


def test_kinds_without_a_title_are_shown_by_their_names() -> None:
    text = scores_text(evaluation(ensemble=CLUSTER))
    assert text.splitlines()[0].split() == ["ensemble"]


def test_a_refusal_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("{}")
    message = (
        f"{tmp_path / 'evaluation.json'}: already exists; add --overwrite to replace the evalu"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}ation, or choose another --out$"):
        check_output_folder(tmp_path, overwrite=False)
