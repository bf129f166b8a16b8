"""A fit without a number of steps stops early, and resumes after an interruption."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.test_commands import interrupted_at

from segdistill.training import early_stopping, loop

TINY = ["--backbone", "tiny", "--classes", 3, "--objective.samples", 5, "--training.batch-size", 4]


def test_training_ends_by_itself_and_resumes_as_in_one_go(
    photos: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_stopping, "MOST_PATIENCE", 50)
    arguments = ["fit", photos, *TINY, "--training.checkpoint-every", 30, "--quiet"]
    status, _, error = segdistill(*arguments, "--out", "whole")
    assert status == 0, error
    facts = json.loads(Path("whole/facts.json").read_text())
    agreement_history = facts["agreement_history"]
    best = max(agreement_history, key=lambda record: record["agreement"])
    assert facts["kept_step"] == best["step"]
    assert agreement_history[-1]["step"] == best["step"] + 50
    steps = len(Path("whole/history.csv").read_text().splitlines()) - 1
    assert steps == agreement_history[-1]["step"]
    report = Path("whole/report.html").read_text()
    assert f"best codes from step {best['step']}" in report
    assert '<h3 id="curve-agreement">Agreement</h3>' in report

    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", interrupted_at(best["step"] + 40))
        assert segdistill(*arguments, "--out", "broken")[0] == 130
    status, _, error = segdistill(*arguments, "--out", "broken", "--resume")
    assert status == 0, error
    assert (
        json.loads(Path("broken/facts.json").read_text())["agreement_history"] == agreement_history
    )
    weights = [Path(run, "segmenter.safetensors").read_bytes() for run in ("whole", "broken")]
    assert weights[0] == weights[1]


def test_steps_that_are_given_are_all_taken(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("fit", photos, *TINY, "--training.steps", 60, "--quiet", "--out", "run")
    )
    assert status == 0, error
    facts = json.loads(Path("run/facts.json").read_text())
    assert facts["agreement_history"] == []
    assert facts["kept_step"] is None
    assert len(Path("run/history.csv").read_text().splitlines()) == 61
    assert "Agreement" not in Path("run/report.html").read_text()
