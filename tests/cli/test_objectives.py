"""The choice of an objective on the command line."""

import csv
from pathlib import Path

import yaml
from tests.cli.conftest import Run

FIT = ("--backbone", "tiny", "--classes", 3, "--training.steps", 3, "--training.batch-size", 4)


def test_an_objective_is_chosen_by_name(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("fit", photos, *FIT, "--out", "run", "--quiet", "--objective.name", "hp"),
        *("--objective.hp.grid", 4, "--objective.hp.pool", 30),
    )
    assert status == 0, error
    settings = yaml.safe_load(Path("run/settings.yaml").read_text())
    assert settings["objective"]["name"] == "hp"
    assert settings["objective"]["hp"]["pool"] == 30
    with Path("run/history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert float(rows[0]["objective.hidden_positives_global"]) > 0
    assert "Global positives" in Path("run/report.html").read_text(encoding="utf-8")
    # The settings that a run keeps repeat it.
    status, printed, error = segdistill(
        "fit", photos, "--config", "run/settings.yaml", "--print-config"
    )
    assert status == 0, error
    assert yaml.safe_load(printed) == settings


def test_mistakes_are_one_line(photos: Path, segdistill: Run) -> None:
    for options, message in (
        (("--objective.name", "eagel"), "no such objective; did you mean eagle?"),
        (("--objective.smooseg.momentum", 1), "must be from 0 to below 1"),
        (("--objective.smooseg.temperature", 0.2), "add --objective.name smooseg"),
        (("--objective.name", "hp", "--objective.hp.poool", 3), "did you mean --objective.hp.pool"),
    ):
        status, _, error = segdistill("fit", photos, *FIT, *options)
        assert status == 2
        assert message in error
        assert "Traceback" not in error


def test_the_help_has_a_section_for_later_objectives(segdistill: Run) -> None:
    status, printed, _ = segdistill("fit", "--help-all")
    assert status == 0
    later = printed.partition("Objectives of later papers (advanced)")[2]
    assert later.index("--objective.smooseg.temperature") < later.index("--objective.cause.bank")
    assert "--objective.name" not in later
