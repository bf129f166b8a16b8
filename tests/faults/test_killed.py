"""Killed commands leave nothing that is taken for complete, and resume where they were."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from segdistill.images.finding import find_images
from segdistill.model.segmenter import Segmenter
from tests.faults.checks import KILLED, check_kept
from tests.faults.clocks import logged_steps
from tests.faults.contents import contents, difference, files, leftovers, whole_files
from tests.faults.worlds import (
    COUNT,
    FITS,
    GIVEN,
    OUTPUTS,
    PROBED,
    SEGMENT,
    STEPS,
    Operation,
    Worlds,
)
from tests.forking import environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")


FIT, ESTIMATING = FITS
SEGMENTING, _, DEPTH = OUTPUTS


def check_resumes(worlds: Worlds, operation: Operation, change: str, nth: int = 1) -> Path:
    """Kill a command before a change of the disk, let it continue, and return its world."""
    expected = worlds.uninterrupted(operation).results
    world = worlds.new(operation.needs)
    ended = worlds.commands.run(world, *operation.arguments, before=change, nth=nth)
    assert ended.status == KILLED, ended
    before = whole_files(world, given=GIVEN)
    ended = worlds.again(operation)
    assert ended.status == 0, ended.error
    check_kept(world, operation, before)
    assert not difference(expected, contents(world / operation.folder))
    return world


@pytest.mark.parametrize(
    ("change", "nth"),
    [
        ("os.rename", 4),  # among the features
        ("os.rename checkpoint", 2),  # in the history already, but not in the checkpoint
        ("os.rename facts.json", 1),  # training is over, and so is clustering
        ("os.rename segmenter.json", 1),  # its weights are written
    ],
)
def test_a_fit_resumes_from_any_stage(worlds: Worlds, change: str, nth: int) -> None:
    world = check_resumes(worlds, FIT, change, nth)
    assert leftovers(world) == []
    rows = list(csv.DictReader((world / "run" / "history.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))


@pytest.mark.parametrize(
    ("change", "nth"),
    [
        ("os.rename settings.yaml", 2),
        pytest.param("os.remove checkpoint", 1, marks=pytest.mark.slow),
    ],
)
def test_the_number_of_classes_is_saved_even_if_killed_at_the_end(
    worlds: Worlds, change: str, nth: int
) -> None:
    world = check_resumes(worlds, ESTIMATING, change, nth)
    classes = len(json.loads((world / "run" / "segmenter.json").read_text())["classes"])
    assert yaml.safe_load((world / "run" / "settings.yaml").read_text())["classes"] == classes


def test_a_fit_killed_before_its_first_step_can_be_repeated(worlds: Worlds) -> None:
    world, run = worlds.new(), worlds.commands.run
    assert run(world, *PROBED, before="os.rename settings.yaml").status == KILLED
    assert len(leftovers(world / "run")) == 1
    ended = run(world, *PROBED, before="os.rename history.csv")
    assert ended.status == KILLED, ended.error
    ended = run(world, *PROBED)
    assert ended.status == 2
    assert "already contains an unfinished run; add --resume" in ended.error


@pytest.mark.parametrize("nth", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_log_shows_each_step_once(worlds: Worlds, nth: int) -> None:
    world = worlds.new()
    ended = worlds.commands.run(world, *PROBED, before="open .history-", nth=nth)
    assert ended.status == KILLED
    time.sleep(1.1)  # logs are named by the second
    assert worlds.commands.run(world, *PROBED, "--resume").status == 0
    assert len(list((world / "run" / "log").iterdir())) == 2
    assert logged_steps(world / "run" / "log") == list(range(1, STEPS + 1))


def test_depth_resumes(worlds: Worlds) -> None:
    world = check_resumes(worlds, DEPTH, "os.rename picture_2.png")
    assert leftovers(world) == []
    assert len(whole_files(world / "photos_depth_preview")) == COUNT + 1


@pytest.mark.parametrize("change", ["os.rename picture_3.png", "os.rename scene.tif"])
def test_segmenting_resumes(worlds: Worlds, change: str) -> None:
    check_resumes(worlds, SEGMENTING, change)


def test_leftovers_are_not_taken_for_masks(worlds: Worlds) -> None:
    world = worlds.new(("run",))
    ended = worlds.commands.run(world, *SEGMENT, before="os.rename picture_3.png")
    assert ended.status == KILLED
    assert any(name.startswith(".picture_3-") for name in leftovers(world / "masks"))
    masks = {path for path in files(world / "masks") if path.name.startswith("picture_")}
    found = {image.path for image in find_images(world / "masks")}
    assert found == {path for path in masks if path.suffix in {".png", ".jpg"}}
    ended = worlds.commands.run(world, *SEGMENT, "--resume")
    kept = len({path for path in masks if path.suffix == ".png"})
    assert f"{COUNT + 1 - kept} written to masks, {kept} already existed" in ended.out


def test_reclustering_is_atomic(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    run = worlds.commands.run
    for number in (3, 4, 7, 8):
        world = worlds.new(("run",))
        monkeypatch.chdir(world)
        ended = run(world, "recluster", "run", "--classes", "5", before=number)
        assert ended.status == KILLED
        assert len(Segmenter.load("run").classes) == (3 if number < 8 else 5)
        assert run(world, "recluster", "run", "--classes", "5").status == 0
        assert len(Segmenter.load("run").classes) == 5
        assert run(world, "recluster", "run", "--undo").status == 0
        assert len(Segmenter.load("run").classes) == 3
        assert leftovers(world / "run") == []


def start(world: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start the real command."""
    return subprocess.Popen(
        [sys.executable, "-m", "segdistill.cli.main", *arguments],
        cwd=world,
        env=environment() | {"SEGDISTILL_CACHE": str(world / "cache")},
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow  # faults of all kinds happen to real commands in test_faults.py
def test_a_real_command_killed_during_training_resumes(worlds: Worlds) -> None:
    expected = worlds.uninterrupted(FIT).results
    world = worlds.new()
    process = start(world, *PROBED)
    deadline = time.monotonic() + 100
    while not (world / "run" / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=100)
    assert process.returncode == KILLED
    whole_files(world, given=GIVEN)
    ended = worlds.commands.run(world, *PROBED, "--resume")
    assert ended.status == 0, ended.error
    assert not difference(expected, contents(world / "run"))
