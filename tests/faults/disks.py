"""Disks that are full, and files that may not grow."""

import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.checks import WRONG, check_after_fault, check_continued, check_edit
from tests.faults.commands import Conditions
from tests.faults.contents import digests
from tests.faults.trial import Trial
from tests.faults.worlds import GIVEN, OPERATIONS, Operation, Uninterrupted, classes_of

ROOMY = 1 << 30
LEAST_FILE = 300


def fill(trial: Trial) -> None:
    """Let a command run on a disk with too little room, or with a limit of the size of files."""
    worlds = trial.worlds
    operation = trial.choose(OPERATIONS)
    trial.tell(operation.name)
    uninterrupted = worlds.uninterrupted(operation)
    world = worlds.new(operation.needs)
    classes = classes_of(world / "run") if operation.edits else []
    given = digests(world, GIVEN)
    conditions = None
    if can_mount() and trial.random.random() < 0.7:
        room = int(trial.random.random() * max(uninterrupted.written, 1 << 16))
        trial.tell(f"disk with room for {room} bytes")
        move_to_disk(world, room)
    else:
        limit = file_limit(trial, operation, uninterrupted)
        trial.tell(f"no file above {limit} bytes")
        conditions = Conditions(largest_file=limit)
    ended = worlds.commands.run(world, *operation.arguments, conditions=conditions)
    check_after_fault(world, ended, given, statuses=frozenset({0, WRONG}))
    trial.injected = True
    if ended.status == WRONG:
        trial.refused = True
        reason = ended.error.strip().splitlines()[-1]
        assert "disk is full" in reason or "ulimit -f" in reason, ended.error
    if world.is_mount():
        mount(world, f"remount,size={ROOMY}")
    if operation.edits:
        check_edit(worlds, operation, classes)
    else:
        check_continued(worlds, operation, worlds.again(operation), uninterrupted.results)
    trial.resumed_equal = True


def file_limit(trial: Trial, operation: Operation, uninterrupted: Uninterrupted) -> int:
    """Draw a size between nothing and that of the largest file that a command writes."""
    largest = max(len(each) for each in uninterrupted.results.values() if isinstance(each, bytes))
    share: float = trial.random.random()
    return round(LEAST_FILE * float((largest / LEAST_FILE) ** share))


@cache
def can_mount() -> bool:
    """Return whether this process may mount a small disk in memory."""
    with TemporaryDirectory() as folder:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False
        )
        if tried.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return tried.returncode == 0


def move_to_disk(world: Path, room: int) -> None:
    """Move a world to a disk of its own, in memory, with room for so many more bytes."""
    aside = world.with_name(f"{world.name}_aside")
    world.rename(aside)
    world.mkdir()
    mount(world, f"size={ROOMY}")
    subprocess.run(["cp", "-a", f"{aside}/.", world], check=True)
    subprocess.run(["rm", "-r", aside], check=True)
    found = os.statvfs(world)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    mount(world, f"remount,size={used + max(room, found.f_frsize)}")


def mount(folder: Path, options: str) -> None:
    """Mount a disk in memory, or change the size of the one that is mounted."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
