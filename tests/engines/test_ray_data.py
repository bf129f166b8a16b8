"""Workers of Ray: how cores and GPUs are shared, and what ends badly ends with a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segdistill.engines.ray_data import WorkerShare, worker_share
from segdistill.errors import UserError

HEAD = {"CPU": 16.0}
NODE = {"CPU": 8.0, "GPU": 2.0}
SMALL = {"CPU": 2.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("hosts", "workers", "share"),
    [
        ([HEAD], None, WorkerShare(16, 1, 0)),
        ([HEAD, HEAD], 5, WorkerShare(5, 1, 0)),
        # A worker has to find its cores beside a GPU, not anywhere in the cluster.
        ([HEAD, NODE], None, WorkerShare(2, 4, 1)),
        ([HEAD, NODE, SMALL], None, WorkerShare(3, 2, 1)),
        # Those that share a GPU take a whole part of it.
        ([NODE], 3, WorkerShare(3, 2, 0.5)),
        ([NODE], 1, WorkerShare(1, 4, 1)),
        ([{"GPU": 1.0}], None, WorkerShare(1, 1, 1)),
    ],
)
def test_each_worker_fits_on_a_machine(
    hosts: list[dict[str, float]], workers: int | None, share: WorkerShare
) -> None:
    assert worker_share(hosts, workers, with_gpus=True) == share


def test_without_gpus_cores_count() -> None:
    assert worker_share([NODE], None, with_gpus=False) == WorkerShare(8, 1, 0)
    with pytest.raises(UserError, match="--workers 9: only 8 cores available"):
        worker_share([NODE], 9, with_gpus=False)


def trial(*arguments: str, **environment: str) -> str:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.ray_trial", *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "Deprecat" not in done.stderr
    # Around it Ray tells of workers that it lost.
    return next(each for each in done.stdout.splitlines() if each.startswith(("UserError", "[")))


DOUBLED = "[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "workers", "threads"), [("1", "1", "{1}"), ("1", "2", "{0}"), ("0", "2", "{0}")]
)
def test_gpus_are_taken_where_there_are_any(gpus: str, workers: str, threads: str) -> None:
    assert trial("doubling", gpus, workers) == f"{DOUBLED} {threads}"


@pytest.mark.slow
def test_what_kills_its_workers_is_not_tried_for_ever() -> None:
    assert trial("killing", "0", "2").startswith(
        "UserError: --engine ray: workers failed repeatedly"
    )


@pytest.mark.slow
def test_a_worker_that_cannot_start_says_why() -> None:
    told = "a worker failed to start (RuntimeError: the driver is too old)"
    assert trial("failing", "0", "2") == f"UserError: --engine ray: {told}"
