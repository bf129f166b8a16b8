"""Killed commands leave nothing that is taken for complete, and resume where they were."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from tests.cli.conftest import QUICK, Run
from tests.cli.killable import Commands, environment
from tests.cli.killed_worlds import (
    COUNT,
    DEPTH,
    ESTIMATED,
    KILLED,
    PROBED,
    SEGMENT,
    STEPS,
    STOPPED,
    Worlds,
    check_resumes,
    contents,
    files,
    leftovers,
    whole_files,
    write_template,
)
from tests.cli.test_commands import interrupted_at

from segdistill.images.finding import find_images
from segdistill.model.segmenter import Segmenter
from segdistill.training import head_training, loop

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    template = write_template(tmp_path_factory.mktemp("template"))
    with Commands() as commands:
        yield Worlds(template, tmp_path_factory.mktemp("place") / "world", commands)


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
    world = check_resumes(worlds, PROBED, "run", kept=("cache",), kill_before=change, nth=nth)
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
    world = check_resumes(worlds, ESTIMATED, "run", kept=("cache",), kill_before=change, nth=nth)
    classes = len(json.loads((world / "run" / "segmenter.json").read_text())["classes"])
    assert yaml.safe_load((world / "run" / "settings.yaml").read_text())["classes"] == classes


def test_a_fit_killed_before_its_first_step_can_be_repeated(worlds: Worlds) -> None:
    world, run = worlds.new(), worlds.commands.run
    assert run(world, *PROBED, kill_before="os.rename settings.yaml").status == KILLED
    assert len(leftovers(world / "run")) == 1
    ended = run(world, *PROBED, kill_before="os.rename history.csv")
    assert ended.status == KILLED, ended.error
    ended = run(world, *PROBED)
    assert ended.status == 2
    assert "holds an unfinished run already; add --resume" in ended.error


@pytest.mark.parametrize("nth", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_log_shows_each_step_once(worlds: Worlds, nth: int) -> None:
    accumulators = import_module("tensorboard.backend.event_processing.event_accumulator")
    world = worlds.new()
    ended = worlds.commands.run(world, *PROBED, kill_before="open .history-", nth=nth)
    assert ended.status == KILLED
    time.sleep(1.1)  # logs are named by the second
    assert worlds.commands.run(world, *PROBED, "--resume").status == 0
    assert len(list((world / "run" / "log").iterdir())) == 2
    log = accumulators.EventAccumulator(str(world / "run" / "log"))
    log.Reload()
    assert [each.step for each in log.Scalars("loss/total")] == list(range(1, STEPS + 1))


def test_depth_resumes(worlds: Worlds) -> None:
    kept, change = ("photos_depth", "photos_depth_preview"), "os.rename picture_2.png"
    world = check_resumes(worlds, DEPTH, "photos_depth", kept=kept, again=(), kill_before=change)
    assert leftovers(world) == []
    assert len(whole_files(world / "photos_depth_preview")) == COUNT + 1


@pytest.mark.parametrize("change", ["os.rename picture_3.png", "os.rename scene.tif"])
def test_segmenting_resumes(worlds: Worlds, change: str) -> None:
    check_resumes(worlds, SEGMENT, "masks", kept=("masks",), kill_before=change)


def test_leftovers_are_not_taken_for_masks(worlds: Worlds) -> None:
    world = worlds.new(with_run=True)
    ended = worlds.commands.run(world, *SEGMENT, kill_before="os.rename picture_3.png")
    assert ended.status == KILLED
    assert any(name.startswith(".picture_3-") for name in leftovers(world / "masks"))
    masks = {path for path in files(world / "masks") if path.name.startswith("picture_")}
    found = {image.path for image in find_images(world / "masks")}
    assert found == {path for path in masks if path.suffix in {".png", ".jpg"}}
    ended = worlds.commands.run(world, *SEGMENT, "--resume")
    kept = len({path for path in masks if path.suffix == ".png"})
    assert f"{COUNT + 1 - kept} written to masks, {kept} existed already" in ended.out


def test_reclustering_is_atomic(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    run = worlds.commands.run
    for number in (3, 4, 7, 8):
        world = worlds.new(with_run=True)
        monkeypatch.chdir(world)
        ended = run(world, "recluster", "run", "--classes", "5", kill_before=number)
        assert ended.status == KILLED
        assert len(Segmenter.load("run").classes) == (3 if number < 8 else 5)
        assert run(world, "recluster", "run", "--classes", "5").status == 0
        assert len(Segmenter.load("run").classes) == 5
        assert run(world, "recluster", "run", "--undo").status == 0
        assert len(Segmenter.load("run").classes) == 3
        assert leftovers(world / "run") == []


def test_a_slow_step_is_saved_at_once(
    photos: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "weighted_total", interrupted_at(7))
    status, _, _ = segdistill(
        *("fit", photos, "--backbone", "tiny", "--out", "run", "--quiet", *QUICK)
    )
    assert status == 130
    with safe_open("run/checkpoint.safetensors", framework="pt") as checkpoint:
        assert checkpoint.metadata()["step"] == "6"


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


def test_a_real_command_killed_during_training_resumes(worlds: Worlds) -> None:
    expected, _ = worlds.uninterrupted(PROBED, "run")
    world = worlds.new()
    process = start(world, *PROBED)
    deadline = time.monotonic() + 100
    while not (world / "run" / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=100)
    assert process.returncode == KILLED
    whole_files(world)
    ended = worlds.commands.run(world, *PROBED, "--resume")
    assert ended.status == 0, ended.error
    assert contents(world / "run") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "every"),
    [(PROBED, 1), (ESTIMATED, 3), (STOPPED, 5)],
    ids=["probed", "estimated", "stopped"],
)
def test_a_fit_resumes_from_any_moment(worlds: Worlds, arguments: list[str], every: int) -> None:
    _, changes = worlds.uninterrupted(arguments, "run")
    for number in range(1, changes + 1, every):
        world = check_resumes(worlds, arguments, "run", kept=("cache",), kill_before=number)
        assert leftovers(world) == [], number


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "folder", "again"),
    [(DEPTH, "photos_depth", ()), (SEGMENT, "masks", ("--resume",))],
    ids=["depth", "segment"],
)
def test_depth_and_segmenting_resume_from_any_moment(
    worlds: Worlds, arguments: list[str], folder: str, again: tuple[str, ...]
) -> None:
    _, changes = worlds.uninterrupted(arguments, folder)
    for number in range(1, changes + 1):
        check_resumes(worlds, arguments, folder, kept=(folder,), again=again, kill_before=number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "folder", "again"),
    [
        (PROBED, "run", ("--resume",)),
        (DEPTH, "photos_depth", ()),
        (SEGMENT, "masks", ("--resume",)),
    ],
    ids=["fit", "depth", "segment"],
)
def test_a_command_killed_repeatedly_completes(
    worlds: Worlds, arguments: list[str], folder: str, again: tuple[str, ...]
) -> None:
    expected, _ = worlds.uninterrupted(arguments, folder)
    world = worlds.new(with_run=folder == "masks")
    random = np.random.default_rng(0)
    seconds, kills = 2.0, 0
    while True:
        process = start(world, *arguments, *again)
        try:
            # Ever longer, so that it completes in the end.
            _, error = process.communicate(timeout=seconds + random.uniform(0, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills, seconds = kills + 1, seconds * 1.05
            whole_files(world)
            continue
        assert process.returncode == 0, error
        break
    assert kills > 0
    assert contents(world / folder) == expected
