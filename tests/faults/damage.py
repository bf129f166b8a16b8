"""Files that a disk has damaged: flipped bits, lost blocks, cut off, or with another's content."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from tests.faults.checks import WRONG, check_continued, check_told
from tests.faults.commands import Conditions, Ended, Moment
from tests.faults.contents import contents, difference, files
from tests.faults.trial import Trial
from tests.faults.worlds import FITS, OUTPUTS, Operation, Worlds

BLOCK = 512
ENDED = frozenset({0, WRONG})
RUN = ("run",)
SEGMENT, FEATURES = OUTPUTS[0], OUTPUTS[1]
REPORT = Operation(
    "report", ["recluster", "run", "--classes", "3", "--images", "photos", "--quiet"], "run", RUN
)
EVALUATE = Operation(
    "evaluate",
    ["evaluate", "run", "--images", "photos", "--labels", "labels", "--out", "scores", "--quiet"],
    "scores",
    RUN,
)
READERS = {
    "segmenter.json": (SEGMENT, FEATURES),
    "segmenter.safetensors": (SEGMENT, FEATURES),
    "linear_probe.safetensors": (EVALUATE,),
    "settings.yaml": (REPORT,),
    "history.csv": (REPORT,),
    "facts.json": (REPORT,),
}
"""By file of a run, what reads it."""


def damage(trial: Trial) -> None:
    """Damage a file of the feature store, or of a run that is finished or not."""
    trial.choose((damage_store, damage_run, damage_run, damage_unfinished))(trial)


def damage_store(trial: Trial) -> None:
    """Damage maps of the feature store: they are computed again, with the same result."""
    worlds = trial.worlds
    operation = trial.choose(FITS)
    expected = worlds.uninterrupted(operation).results
    world = worlds.new()
    assert worlds.commands.run(world, *operation.arguments).status == 0
    shutil.rmtree(world / "run")
    entries = files(world / "cache")
    for _ in range(trial.random.randint(1, 3)):
        spoil(trial, trial.choose(entries), entries)
    check_continued(worlds, operation, worlds.commands.run(world, *operation.arguments), expected)
    trial.resumed_equal = True


def damage_run(trial: Trial) -> None:
    """Damage a file of a finished run: what reads it gives the same, or names the file."""
    worlds = trial.worlds
    name = trial.choose(sorted(READERS))
    reader = trial.choose(READERS[name])
    expected = read_by(worlds, reader, worlds.new(reader.needs))
    world = worlds.new(reader.needs)
    spoil(trial, world / "run" / name, files(world / "run"))
    trial.tell(f"read by {reader.name}")
    ended = worlds.commands.run(world, *reader.arguments)
    check_same_or_refused(trial, ended, name)
    if ended.status == 0:
        differing = difference(expected, results_of(reader, world))
        assert not differing, f"damage was not noticed: {differing}"
        trial.resumed_equal = True


def damage_unfinished(trial: Trial) -> None:
    """Damage a file of a fit that was killed during training, and let it continue."""
    worlds = trial.worlds
    operation = FITS[0]
    uninterrupted = worlds.uninterrupted(operation)
    world = worlds.new()
    moment = Moment(before="os.rename history.csv", nth=trial.random.randint(2, 4))
    ended = worlds.commands.run(world, *operation.arguments, conditions=Conditions(moment))
    assert ended.status == -9, ended
    name = trial.choose(
        ("checkpoint.safetensors", "checkpoint.safetensors", "history.csv", "settings.yaml")
    )
    spoil(trial, world / "run" / name, files(world / "run"))
    ended = worlds.again(operation)
    check_same_or_refused(trial, ended, name)
    if ended.status == WRONG:
        operation = replace(operation, again=("--overwrite",))
        ended = worlds.again(operation)
    check_continued(worlds, operation, ended, uninterrupted.results)
    trial.resumed_equal = True


def check_same_or_refused(trial: Trial, ended: Ended, name: str) -> None:
    """Check that a command went on, or named the damaged file in one line."""
    check_told(ended, statuses=ENDED)
    trial.refused = ended.status == WRONG
    if trial.refused:
        line = ended.error.strip().splitlines()[-1]
        assert name in line or "run: " in line, ended.error


def read_by(worlds: Worlds, reader: Operation, world: Path) -> dict[str, object]:
    """Return what a command makes of a run that is not damaged."""
    ended = worlds.commands.run(world, *reader.arguments)
    assert ended.status == 0, ended.error
    return results_of(reader, world)


def results_of(reader: Operation, world: Path) -> dict[str, object]:
    """Return what a command wrote; of a run only its report."""
    if reader is REPORT:
        return {"report.html": (world / "run" / "report.html").read_bytes()}
    return contents(world / reader.folder)


def spoil(trial: Trial, path: Path, others: list[Path]) -> None:
    """Damage a file in one of several ways."""
    way = trial.choose(sorted(WAYS))
    content = bytearray(path.read_bytes())
    trial.injected = True
    if way == "another's content":
        alike = [each for each in others if each.suffix == path.suffix and each != path]
        if alike:
            path.write_bytes(trial.choose(alike).read_bytes())
            trial.tell(f"{path.name}: {way}")
            return
        way = "a flipped bit"
    where = WAYS[way](content, trial.random)
    path.write_bytes(content)
    trial.tell(f"{path.name}: {way} at {where}")


def _flip(content: bytearray, random: Random) -> int:
    place = random.randrange(len(content))
    content[place] ^= 1 << random.randrange(8)
    return place


def _zero(content: bytearray, random: Random) -> int:
    start = random.randrange(0, len(content), BLOCK)
    stop = min(start + BLOCK, len(content))
    content[start:stop] = bytes(stop - start)
    return start


def _cut(content: bytearray, random: Random) -> int:
    place = random.randrange(len(content))
    del content[place:]
    return place


def _empty(content: bytearray, _random: Random) -> int:
    content.clear()
    return 0


def _lengthen(content: bytearray, random: Random) -> int:
    place = len(content)
    content += random.randbytes(random.randint(1, BLOCK))
    return place


WAYS: dict[str, Callable[[bytearray, Random], int]] = {
    "a flipped bit": _flip,
    "two flipped bits": lambda content, random: min(_flip(content, random), _flip(content, random)),
    "a block of zeros": _zero,
    "cut off": _cut,
    "empty": _empty,
    "longer": _lengthen,
    "another's content": _flip,
}
