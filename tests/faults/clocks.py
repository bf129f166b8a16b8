"""Clocks that go backwards, and files from the future."""

import os
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.faults.checks import KILLED, check_after_fault, check_continued
from tests.faults.commands import Conditions
from tests.faults.contents import digests, files
from tests.faults.interruptions import moment_of
from tests.faults.trial import Trial
from tests.faults.worlds import FITS, GIVEN, OUTPUTS, STEPS

YEAR = 365 * 86400.0
CLOCKS = (-1.0, -3600.0, -86400.0, -10 * YEAR, 10 * YEAR)


def turn_clock(trial: Trial) -> None:
    """Kill a command, turn the clock or the times of its files, and let it continue."""
    worlds = trial.worlds
    operation = trial.choose((*FITS, *OUTPUTS))
    uninterrupted = worlds.uninterrupted(operation)
    world = worlds.new(operation.needs)
    given = digests(world, GIVEN)
    moment = moment_of(trial, uninterrupted, 9)
    clock = trial.choose(CLOCKS)
    ahead = trial.choose((0.0, 1.0, 86400.0, 10 * YEAR))
    trial.tell(f"{operation.name}, {moment}, clock {clock:+.0f} s, times of files {ahead:+.0f} s")
    ended = worlds.commands.run(world, *operation.arguments, conditions=Conditions(moment))
    check_after_fault(world, ended, given, statuses=frozenset({KILLED, 0}))
    trial.injected = ended.status == KILLED
    if ahead:
        set_times(trial, files(world), ahead)
    ended = worlds.again(operation, conditions=Conditions(clock=clock))
    check_continued(worlds, operation, ended, uninterrupted.results)
    if operation in FITS:
        steps = logged_steps(world / "run" / "log")
        assert steps == list(range(1, STEPS + 1)), f"the log shows steps {steps}"
    trial.resumed_equal = True


def set_times(trial: Trial, paths: Iterable[Path], ahead: float) -> None:
    """Set the times of files to any until so many seconds ahead."""
    for path in paths:
        moment = time.time() + trial.random.uniform(0, 1) * ahead
        os.utime(path, (moment, moment), follow_symlinks=False)


def logged_steps(folder: Path) -> list[int]:
    """Return the steps of the losses that TensorBoard shows."""
    accumulators = import_module("tensorboard.backend.event_processing.event_accumulator")
    log: Any = accumulators.EventAccumulator(str(folder))
    log.Reload()
    return [each.step for each in log.Scalars("loss/total")]
