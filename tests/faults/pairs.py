"""Two commands at once that write to the same place."""

import os
import signal
from dataclasses import replace

from tests.faults.checks import WRONG, check_told
from tests.faults.commands import SECONDS, Conditions, Ended, Moment
from tests.faults.contents import contents, difference, digests, leftovers, whole_files
from tests.faults.trial import Trial
from tests.faults.worlds import EXPORTS, FITS, GIVEN, OUTPUTS, Operation, classes_of

ENDED = frozenset({0, WRONG})


def run_two(trial: Trial) -> None:
    """Run two commands at once into one run folder, feature store, output or set of classes."""
    pairs = (two_fits, two_with_one_store, two_outputs, two_outputs, two_edits)
    trial.choose(pairs)(trial)


def two_fits(trial: Trial) -> None:
    """Run two fits into one run folder: one of them is complete, and nothing is mixed."""
    first = FITS[0]
    second = trial.worlds.with_seed(first, trial.random.randint(0, 1))
    trial.tell(f"two fits into one folder, seeds 0 and {second.arguments[-1]}")
    expected = [trial.worlds.uninterrupted(each).results for each in (first, second)]
    both = start_both(trial, first, with_permission(trial, second))
    check_one_complete(trial, first, both, expected)


def two_outputs(trial: Trial) -> None:
    """Run two commands into one output folder, one of them with other options."""
    first = trial.choose((*OUTPUTS, *EXPORTS))
    second = first
    if first.name == "segment" and trial.random.random() < 0.7:
        second = replace(first, arguments=[*first.arguments, "--resolution", "96"])
    trial.tell(
        f"{first.name} twice into one folder{', with another resolution' * (second != first)}"
    )
    expected = [trial.worlds.uninterrupted(each).results for each in (first, second)]
    both = start_both(trial, first, with_permission(trial, second))
    check_one_complete(trial, first, both, expected)


def with_permission(trial: Trial, operation: Operation) -> Operation:
    """Return a command that may continue, or replace, what it finds; or may not."""
    options = trial.choose(((), operation.again, ("--overwrite",)))
    trial.tell(" ".join(options) or "no option")
    return replace(operation, arguments=[*operation.arguments, *options])


def two_with_one_store(trial: Trial) -> None:
    """Run two fits into two folders, with one feature store."""
    first = FITS[0]
    small = trial.random.random() < 0.5
    trial.tell(f"two fits with one feature store{', which is too small' * small}")
    expected = trial.worlds.uninterrupted(first).results
    if small:
        size = ["--cache.max-gigabytes", f"{trial.random.uniform(1, 60) * 1e-6:.7f}"]
        first = replace(first, arguments=[*first.arguments, *size])
    second = replace(first, arguments=[*first.arguments, "--out", "other"])
    for ended in start_both(trial, first, second):
        check_told(ended, statuses=frozenset({0}))
    for name in ("run", "other"):
        found = contents(trial.worlds.folder / name)
        if small:  # its size is among the settings
            found |= {"settings.yaml": expected["settings.yaml"]}
            found["facts.json"]["maps_not_stored"] = 0
        differing = difference(expected, found)
        assert not differing, f"{name}: {differing}"
    assert not leftovers(trial.worlds.folder)
    trial.resumed_equal = True


def two_edits(trial: Trial) -> None:
    """Edit the classes of a run twice at once: no name is lost."""
    worlds = trial.worlds
    first, second = (
        Operation("name", ["name", "run", name, "--quiet"], "run", ("run",), ())
        for name in ("0=sky", "1=meadow")
    )
    trial.tell("two class names at once")
    for ended in start_both(trial, first, second):
        check_told(ended, statuses=frozenset({0}))
    names = [name for name, _, _ in classes_of(worlds.folder / "run")]
    assert names[:2] == ["sky", "meadow"], f"a name is lost: {names}"
    assert not leftovers(worlds.folder / "run")
    trial.resumed_equal = True


def start_both(trial: Trial, first: Operation, second: Operation) -> list[Ended]:
    """Start a command, stop it in the middle, run another one, and let the first continue."""
    worlds = trial.worlds
    changes = len(worlds.uninterrupted(first).ended.changes)
    world = worlds.new(first.needs)
    given = digests(world, GIVEN)
    moment = Moment(before=trial.random.randint(1, changes), signal=signal.SIGSTOP)
    trial.tell(f"the second while the first stands {moment}")
    started = [worlds.commands.start(world, *first.arguments, conditions=Conditions(moment))]
    trial.injected = not worlds.commands.has_ended(started[0], or_stopped=True)
    started.append(worlds.commands.start(world, *second.arguments))
    # An edit waits for the first one.
    worlds.commands.has_ended(started[1], seconds=0.5 if first.edits else SECONDS)
    if trial.injected:
        os.kill(started[0].forked.pid, signal.SIGCONT)
    both = [worlds.commands.wait(each) for each in started]
    for ended in both:
        check_told(ended, statuses=ENDED)
    assert digests(world, GIVEN) == given
    whole_files(world, given=GIVEN)
    return both


def check_one_complete(
    trial: Trial, operation: Operation, both: list[Ended], expected: list[dict[str, object]]
) -> None:
    """Check that one command was refused, and that the other's result is complete."""
    done = [number for number, ended in enumerate(both) if ended.status == 0]
    assert done, f"both were refused: {both[0].error}{both[1].error}"
    trial.refused = len(done) == 1
    found = contents(trial.worlds.folder / operation.folder)
    differing = [difference(expected[number], found) for number in done]
    assert not all(differing), f"mixed: {differing}"
    assert not leftovers(trial.worlds.folder), leftovers(trial.worlds.folder)
    trial.resumed_equal = True
