"""``segdistill evaluate`` as a user runs it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.helpers import striped_labels, write_run_stub

import segdistill as library
from segdistill.evaluation.protocol import Protocol

Labelled = tuple[object, ...]


@pytest.fixture
def labelled(photos: Path) -> Labelled:
    """Options that name the striped images and their labels."""
    root = photos.parent / "data" / "labels"
    for seed in range(6):
        path = root / ("more" if seed == 5 else "") / f"picture_{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(striped_labels(seed)).save(path)
    (root.parent / "classes.txt").write_text("sky\nstone\ngrass\n")
    return ("--images", photos, "--labels", root, "--quiet")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_pass_gives_all_scores_and_files(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    status, _, error = segdistill("probe", fitted, *labelled)
    assert status == 0, error
    status, out, error = segdistill("evaluate", fitted, *labelled, "--crf", "--out", "scores")
    assert status == 0, error
    assert len(out.splitlines()) < 15
    for words in ("Images:   6", "Clusters + CRF", "Linear probe + CRF", "Accuracy:", "mIoU:"):
        assert words in out
    assert "Boundary F:" in out
    kinds = ("cluster", "cluster_crf", "linear", "linear_crf")
    matrices = {f"confusion_{kind}{suffix}" for kind in kinds for suffix in (".csv", ".png")}
    assert names_in(Path("scores")) == {"evaluation.json", "evaluation.html"} | matrices
    content = json.loads(Path("scores/evaluation.json").read_text())
    assert content["run"] == "photos"
    assert content["images"] == 6
    assert content["protocol"]["crf"] is True
    assert list(content["scores"]) == list(kinds)
    for scores in content["scores"].values():
        # Three plain stripes: any method that works separates them.
        assert scores["accuracy"] > 0.8
        assert scores["pixels"] == 6 * 64 * 96
        assert 0 < scores["boundary_f"] <= 1
        assert [each["name"] for each in scores["classes"]] == ["sky", "stone", "grass"]
    with Path("scores/confusion_linear_crf.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["label", "sky", "stone", "grass"]
    assert sum(int(value) for row in rows[1:] for value in row[1:]) == 6 * 64 * 96
    assert "photos" in Path("scores/evaluation.html").read_text()


def test_without_out_nothing_is_written(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    before = sorted(photos.parent.rglob("*"))
    status, out, _ = segdistill("evaluate", fitted, *labelled[:-1])
    assert status == 0
    assert "--out FOLDER" in out
    assert sorted(photos.parent.rglob("*")) == before
    status, out, _ = segdistill("evaluate", fitted, *labelled)
    assert "--out" not in out


def test_the_crf_does_not_change_the_other_scores(
    fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    for folder, *options in (("plain",), ("refined", "--crf")):
        status, _, error = segdistill("evaluate", fitted, *labelled, *options, "--out", folder)
        assert status == 0, error
    plain, refined = (
        json.loads(Path(folder, "evaluation.json").read_text())["scores"]
        for folder in ("plain", "refined")
    )
    assert list(plain) == ["cluster"]
    assert refined["cluster"] == plain["cluster"]


def test_an_earlier_evaluation_is_replaced_only_with_overwrite(
    fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    evaluate = ("evaluate", fitted, *labelled, "--out", "scores")
    assert segdistill(*evaluate, "--crf")[0] == 0
    Path("scores/notes.txt").write_text("mine")
    before = Path("scores/evaluation.json").read_bytes()
    status, out, error = segdistill(*evaluate)
    assert status == 2
    assert out == ""
    assert "scores/evaluation.json: already exists; add --overwrite" in error
    assert Path("scores/evaluation.json").read_bytes() == before
    assert segdistill(*evaluate, "--overwrite")[0] == 0
    # Files of only the earlier evaluation are removed; the user's files stay.
    assert names_in(Path("scores")) == {
        "evaluation.json",
        "evaluation.html",
        "confusion_cluster.csv",
        "confusion_cluster.png",
        "notes.txt",
    }


def test_damaged_files_are_skipped_and_counted(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    (photos / "picture_1.png").write_bytes((photos / "picture_1.png").read_bytes()[:90])
    label = photos.parent / "data/labels/picture_2.png"
    label.write_text("dear")
    status, out, error = segdistill("evaluate", fitted, *labelled, "--out", "scores")
    assert status == 0, error
    assert "Images:   4 (2 skipped)" in out
    assert f"skipped: {photos / 'picture_1.png'}" in error
    assert f"skipped: {label}" in error
    content = json.loads(Path("scores/evaluation.json").read_text())
    assert [Path(each["file"]).name for each in content["skipped"]] == [
        "picture_1.png",
        "picture_2.png",
    ]
    assert "2 images could not be scored" in " ".join(
        Path("scores/evaluation.html").read_text().replace("<strong>", "").split()
    )
    status, out, error = segdistill("evaluate", fitted, *labelled, "--strict")
    assert status == 2
    assert "picture_1.png" in error
    assert "omit --strict" in error
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    status, out, error = segdistill("evaluate", fitted, *labelled)
    assert status == 2
    assert "none of the 6 images can be scored" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resolution", 0], "--resolution 0: must be from 32 to 8192"),
        (["--resolution", -64], "--resolution -64: must be from 32 to 8192"),
        (["--resolution", "many"], "--resolution many: must be"),
        (["--protocol", "stego"], "--protocol stego: must be one of"),
        (["--out", "a_file"], "a_file: is a file, not a folder"),
        (["--overwrit"], "did you mean --overwrite?"),
    ],
)
def test_mistakes_exit_2_and_suggest_a_fix(
    photos: Path, labelled: Labelled, segdistill: Run, options: list[object], message: str
) -> None:
    Path("a_file").write_text("mine")
    # All of these mistakes are reported before a model is loaded.
    write_run_stub(Path("run"))
    status, out, error = segdistill("evaluate", "run", *labelled, *options)
    assert status == 2
    assert message in error
    assert "Traceback" not in error
    assert out == ""
    assert Path("a_file").read_text() == "mine"


def test_labels_of_0_and_255_are_warned_of(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    for path in (photos.parent / "data/labels").rglob("*.png"):
        Image.fromarray(np.where(striped_labels(0) == 1, 255, 0).astype(np.uint8)).save(path)
    status, _, error = segdistill("evaluate", fitted, *labelled)
    assert status == 0
    assert error.count("255 means 'not labelled'") == 1


def test_extra_clusters_count_as_wrong(photos: Path, labelled: Labelled, segdistill: Run) -> None:
    segmenter = library.fit(photos, classes=6, backbone="tiny", method="kmeans")
    segmenter.save("six")
    status, out, error = segdistill("evaluate", "six", *labelled, "--out", "scores")
    assert status == 0, error
    assert "3 of 6 clusters match no label class; their pixels count as wrong." in out
    scores = json.loads(Path("scores/evaluation.json").read_text())["scores"]["cluster"]
    assert len(scores["unmatched"]) == 3
    assert set(scores["as_released"]) == {"accuracy", "mean_iou"}
    assert scores["pixels"] == 6 * 64 * 96


def test_from_python(photos: Path, fitted: Path, labelled: Labelled) -> None:
    found = library.evaluate(
        library.Segmenter.load(fitted), photos, str(labelled[3]), protocol=Protocol(mirror=True)
    )
    assert isinstance(found, library.Evaluation)
    assert found.run == ""
    assert found.clusters == ("class 0", "class 1", "class 2")
    assert found.scores["cluster"].accuracy > 0.8
    assert found.counts["cluster"].shape == (3, 3)
    assert found.labels == ("sky", "stone", "grass")


def test_curves_show_how_well_correspondences_predict_labels(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    (photos / "picture_0.png").write_bytes(b"damaged since the fit")
    status, out, error = segdistill("evaluate", fitted, *labelled, "--curves", "--out", "scores")
    assert status == 0, error
    assert "codes between images" in out
    content = json.loads(Path("scores/evaluation.json").read_text())
    curves = {each["name"]: each for each in content["correspondences"]}
    assert set(curves) == {
        *(f"{what} within images" for what in ("features", "codes", "crf")),
        *(f"{what} between images" for what in ("features", "codes")),
    }
    for name in ("features within images", "codes between images"):
        assert curves[name]["average_precision"] > 1.5 * curves[name]["chance"]
    assert "codes between images" in Path("scores/evaluation.html").read_text()


def test_a_probe_of_other_classes_is_not_scored(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    assert segdistill("probe", fitted, *labelled)[0] == 0
    listing = photos.parent / "data" / "classes.txt"
    listing.write_text("car\nroad\nperson\n")
    status, out, error = segdistill("evaluate", fitted, *labelled)
    assert status == 0, error
    assert (
        "classes (sky, stone, grass) that differ from those of the labels (car, road, person)"
        in error
    )
    assert "Linear probe" not in out
    listing.unlink()
    status, out, error = segdistill("evaluate", fitted, *labelled)
    assert "Linear probe" in out
    assert "trained with" not in error
    listing.write_text("sky\nstone\ngrass\nsea\n")
    library.probe(fitted, library.labelled_folders(photos, str(labelled[3])))
    listing.unlink()
    status, out, error = segdistill("evaluate", fitted, *labelled)
    assert "Linear probe" in out
    assert "trained on 4 classes, but the labels have 3" in error


def test_classes_that_occur_are_counted(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    for path in (photos.parent / "data" / "labels").rglob("*.png"):
        Image.fromarray(np.array(Image.open(path)) * np.uint8(40)).save(path)
    (photos.parent / "data" / "classes.txt").unlink()
    status, out, error = segdistill("probe", fitted, *labelled)
    assert status == 0, error
    assert "Probe: 3 label classes" in out


def test_a_probe_of_one_class_is_refused(
    photos: Path, fitted: Path, labelled: Labelled, segdistill: Run
) -> None:
    for path in (photos.parent / "data" / "labels").rglob("*.png"):
        values = np.array(Image.open(path))
        Image.fromarray(np.where(values == 0, 0, 255).astype(np.uint8)).save(path)
    (photos.parent / "data" / "classes.txt").unlink()
    before = names_in(fitted)
    status, _, error = segdistill("probe", fitted, *labelled)
    assert status == 2
    assert "if 255 is a class" in error
    assert names_in(fitted) == before
    options = ("--labels", labelled[3], "--training.linear-probe", "true", "--out", "other")
    status, _, error = segdistill("fit", photos, "--backbone", "tiny", *options)
    assert status == 2
    assert "two classes" in error
