"""Optional parts of a fit from the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tests.cli.conftest import QUICK, Run
from tests.helpers import striped_labels

from segdistill.model.segmenter import Segmenter

TINY = ["--backbone", "tiny", "--classes", "3", "--quiet", *QUICK]


@pytest.fixture
def labels(photos: Path) -> Path:
    folder = photos.parent / "labels"
    (folder / "more").mkdir(parents=True)
    for seed in range(6):
        place = folder / "more" if seed == 5 else folder
        Image.fromarray(striped_labels(seed)).save(place / f"picture_{seed}.png")
    return folder


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_every_optional_term_at_once(photos: Path, labels: Path, segdistill: Run) -> None:
    run = photos.parent / "run"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--out", run, "--labels", labels, "--crops", "random"),
        *("--crop-ratio", 0.6, "--extra-clusters", 2, "--head.kind", "linear"),
        *("--objective.weight-alignment", 0.5, "--objective.augmentations", 2),
        *("--objective.weight-reconstruction", 0.1, "--objective.weight-crf", 0.01),
        *("--objective.stabilize", "true", "--objective.zero-clamp", "false"),
        *("--training.linear-probe", "true", "--training.reset-probes-every", 4),
    )
    assert status == 0, error
    last = history(run)[-1]
    for name in ("reconstruction", "contrastive_crf", "alignment", "linear", "linear_accuracy"):
        assert last[name] != 0
    assert (run / "linear_probe.safetensors").exists()
    assert len(Segmenter.load(run).classes) == 5

    status, _, error = segdistill(
        *("evaluate", run, "--images", photos, "--labels", labels, "--out", run / "scores"),
        "--quiet",
    )
    assert status == 0, error
    scores = json.loads((run / "scores/evaluation.json").read_text())
    assert "cluster" in json.dumps(scores)
    assert "linear" in json.dumps(scores)
    assert "nan" not in json.dumps(scores).lower()


def test_labels_are_not_read_unless_asked_for(photos: Path, labels: Path, segdistill: Run) -> None:
    for path in labels.rglob("*.png"):
        path.write_bytes(b"no picture at all")
    plain, given = photos.parent / "plain", photos.parent / "given"
    assert segdistill("fit", photos, *TINY, "--out", plain)[0] == 0
    assert segdistill("fit", photos, *TINY, "--out", given, "--labels", labels)[0] == 0
    one, other = Segmenter.load(plain), Segmenter.load(given)
    np.testing.assert_array_equal(one.centres.numpy(), other.centres.numpy())
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--out", photos.parent / "probe", "--labels", labels),
        *("--training.linear-probe", "true"),
    )
    assert status == 2
    assert "labels" in error
    assert "picture_" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "asked",
    [["--training.linear-probe", "true"], ["--objective.correlations", "labels"]],
)
def test_options_that_need_labels_say_so(photos: Path, segdistill: Run, asked: list[str]) -> None:
    status, _, error = segdistill("fit", photos, *TINY, *asked)
    assert status == 2
    assert "--labels FOLDER" in error


def test_the_oracle_finds_the_classes(photos: Path, labels: Path, segdistill: Run) -> None:
    run = photos.parent / "oracle"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--out", run, "--labels", labels, "--components", 0),
        *(
            "--training.steps",
            60,
            "--objective.correlations",
            "labels",
            "--training.learning-rate",
            0.005,
        ),
    )
    assert status == 0, error
    status, out, _ = segdistill("evaluate", run, "--images", photos, "--labels", labels, "--quiet")
    accuracy = float(out.split("Accuracy:")[1].split("%")[0])
    assert accuracy > 80


def test_saliency_guides_the_locations(photos: Path, labels: Path, segdistill: Run) -> None:
    plain, guided = photos.parent / "plain", photos.parent / "guided"
    assert segdistill("fit", photos, *TINY, "--out", plain)[0] == 0
    status, _, error = segdistill("fit", photos, *TINY, "--out", guided, "--saliency", labels)
    assert status == 0, error
    assert history(plain)[0] != history(guided)[0]
    empty = photos.parent / "empty"
    empty.mkdir()
    status, _, error = segdistill(
        "fit", photos, *TINY, "--out", photos.parent / "no", "--saliency", empty
    )
    assert status == 2
    assert "empty" in error


def test_keys_need_a_vision_transformer(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill("fit", photos, "--backbone", "efficientnet-lite0:keys")
    assert status == 2
    assert "not a vision transformer" in error


def test_the_log_holds_what_tensorboard_shows(photos: Path, labels: Path, segdistill: Run) -> None:
    run = photos.parent / "run"
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--out", run, "--labels", labels),
        *("--training.linear-probe", "true", "--training.checkpoint-every", 5),
    )
    assert status == 0, error
    events = EventAccumulator(str(run / "log"), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss/total", "probe/clusters", "probe/linear_accuracy"} <= set(tags["scalars"])
    assert {
        f"correlation/{what}_{kind}_pairs"
        for what in ("features", "codes")
        for kind in ("self", "neighbour", "random")
    } == set(tags["histograms"])
    assert [event.step for event in events.Images("panel/0")] == [5, 10]
    assert len([tag for tag in tags["images"] if tag.startswith("panel/")]) == 4
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert events.Scalars("final/total")[0].step == 10
