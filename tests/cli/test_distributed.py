"""Distributed runs: two processes give the same result as one; a killed process is reported."""

import csv
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run
from tests.cli.subprocesses import FIT, start, write_world
from tests.forking import Server

from segdistill.cli.distributed import environments
from segdistill.errors import UserError
from segdistill.processes import Group


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path)


def losses(folder: Path) -> np.ndarray:
    with (folder / "history.csv").open() as file:
        return np.array([float(row["total"]) for row in csv.DictReader(file)])


def test_two_processes_give_the_same_as_one(
    world: Path, forking: Server, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setenv("SEGDISTILL_CACHE", str(world / "cache"))

    def both(*arguments: str, out: str) -> str:
        """Run a command in this process, and in two others; return what the latter printed."""
        status, _, error = segdistill(*arguments, "--out", f"{out}1")
        assert status == 0, error
        status, printed, error = forking.run(
            world, *arguments, "--devices", "2", "--out", f"{out}2"
        )
        assert status == 0, error
        assert error == ""
        return printed

    printed = both("fit", "photos", "--backbone", "vit", *FIT, "--training.steps", "40", out="run")
    assert printed.count("Report:") == 1
    one, two = losses(world / "run1"), losses(world / "run2")
    assert len(one) == len(two) == 40
    # Each process draws locations and random pairs among its own images.
    for part in (slice(0, 10), slice(10, 20), slice(20, 40)):
        assert np.abs(one[part].mean() - two[part].mean()) < 0.25 * np.abs(one).max()

    # The same model, evaluated and applied by one process and by two.
    both("evaluate", "run2", "--images", "photos", "--labels", "labels", "--quiet", out="scores")
    confusion = [(world / f"scores{n}" / "confusion_cluster.csv").read_text() for n in (1, 2)]
    assert confusion[0] == confusion[1]
    assert "8 written" in both("segment", "run2", "photos", "--quiet", out="masks")
    masks = sorted(path.relative_to(world / "masks1") for path in (world / "masks1").rglob("*.*"))
    assert len(masks) == 10
    for path in masks:
        if path.name == "images.csv":  # distances depend on batches, up to rounding
            continue
        assert (world / "masks1" / path).read_bytes() == (world / "masks2" / path).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes by /proc")
@pytest.mark.parametrize(
    # The real command starts four times as long; its ranks differ in how they start only.
    "really",
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["forked", "real"],
)
def test_a_killed_process_ends_the_run_and_it_resumes(
    world: Path, forking: Server, *, really: bool
) -> None:
    arguments = [
        *("fit", "photos", "--backbone", "vit", *FIT, "--training.steps", "40"),
        *("--training.checkpoint-every", "5", "--devices", "2", "--out", "run"),
    ]
    process = start(world, *arguments) if really else forking.start(world, *arguments)
    checkpoint = world / "run" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "process 2 of 2 ended with signal SIGKILL" in error
    assert "to continue: segdistill fit " in error
    assert "Traceback" not in error
    assert not (world / "run" / "segmenter.json").exists()
    status, _, error = forking.run(world, *arguments, "--resume")
    assert status == 0, error
    assert len(losses(world / "run")) == 40


def test_a_mistake_is_reported_once(world: Path, forking: Server) -> None:
    common = ["--backbone", "vit", *FIT, "--devices", "2"]
    status, _, error = forking.run(world, "fit", "nowhere", *common)
    assert status == 2
    assert error.count("nowhere") == 1
    status, _, error = forking.run(world, "fit", "photos", *common, "--training.batch-size", "3")
    assert status == 2
    assert error.count("must be at least 4 for 2 processes") == 1
    status, _, error = forking.run(world, "fit", "photos", *common[:-1], "0")
    assert status == 2
    assert "--devices 0: must be at least 1" in error


def test_several_machines_need_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="set MASTER_ADDR, MASTER_PORT, NODE_RANK"):
        environments(2, 2)
    for name, value in (("MASTER_ADDR", "a"), ("MASTER_PORT", "1"), ("NODE_RANK", "1")):
        monkeypatch.setenv(name, value)
    ranks = [(each["RANK"], each["LOCAL_RANK"]) for each in environments(2, 2)]
    assert ranks == [("2", "0"), ("3", "1")]


def test_shares_cover_all_items() -> None:
    items = list(range(7))
    groups = [Group(rank, 3) for rank in range(3)]
    assert sorted(item for group in groups for item in group.share(items)) == items
    keys = [f"{number:032x}" for number in range(50)]
    assert all(sum(group.owns(key) for group in groups) == 1 for key in keys)
    assert Group().map_shared(items, lambda share: [item + 1 for item in share])[-1] == 7
