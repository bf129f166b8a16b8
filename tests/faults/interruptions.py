"""Commands that are killed or interrupted by signals."""

import signal

from tests.faults.checks import (
    INTERRUPTED,
    check_after_fault,
    check_continued,
    check_edit,
    check_kept,
)
from tests.faults.commands import Conditions, Moment
from tests.faults.contents import digests
from tests.faults.trial import Trial
from tests.faults.worlds import EDITS, EXPORTS, FITS, GIVEN, OUTPUTS, Uninterrupted, classes_of

MOST_INTERRUPTIONS = 2
ROOMS = (FITS, OUTPUTS, EXPORTS, EDITS)


def kill(trial: Trial) -> None:
    """Kill a command by SIGKILL, once or twice."""
    interrupt(trial, (signal.SIGKILL,))


def stop(trial: Trial) -> None:
    """Stop a command by SIGTERM or SIGINT."""
    interrupt(trial, (signal.SIGTERM, signal.SIGINT))


def interrupt(trial: Trial, signals: tuple[signal.Signals, ...]) -> None:
    """Interrupt a command at random moments, and let it continue."""
    worlds = trial.worlds
    operation = trial.choose(trial.choose(ROOMS))
    trial.tell(operation.name)
    uninterrupted = worlds.uninterrupted(operation)
    world = worlds.new(operation.needs)
    given = digests(world, GIVEN)
    classes = classes_of(world / "run") if operation.edits else []
    again: tuple[str, ...] = ()
    for _ in range(1 if operation.edits else trial.random.randint(1, MOST_INTERRUPTIONS)):
        moment = moment_of(trial, uninterrupted, trial.choose(signals))
        trial.tell(moment)
        ended = worlds.commands.run(
            world, *operation.arguments, *again, conditions=Conditions(moment)
        )
        statuses = frozenset({-int(moment.signal or 0), INTERRUPTED, 0})
        before = check_after_fault(world, ended, given, statuses=statuses)
        trial.injected = trial.injected or ended.status != 0
        again = operation.again
        if ended.status == 0:  # it was over before, as those that continue may be
            break
    if operation.edits:
        check_edit(worlds, operation, classes)
    else:
        ended = worlds.again(operation)
        check_continued(worlds, operation, ended, uninterrupted.results)
        check_kept(world, operation, before)
    assert digests(world, GIVEN) == given
    trial.resumed_equal = True


def moment_of(trial: Trial, uninterrupted: Uninterrupted, signal_: int) -> Moment:
    """Draw a moment: before any change of the disk, or after any time."""
    ended = uninterrupted.ended
    if trial.random.random() < 0.6 and ended.changes:
        return Moment(before=trial.random.randint(1, len(ended.changes)), signal=signal_)
    return Moment(seconds=trial.random.uniform(0, ended.seconds), signal=signal_)
