"""Images that vanish, are cut off or replaced while a command reads them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.faults.checks import WRONG, check_after_fault, check_continued
from tests.faults.commands import Conditions, Moment
from tests.faults.contents import contents, difference, digests
from tests.faults.trial import Trial
from tests.faults.worlds import FITS, GIVEN, OUTPUTS, Operation

CHANGES = ("vanishes", "is cut off", "becomes empty", "is replaced", "grows")


def change_pictures(trial: Trial) -> None:
    """Change an image just before a command opens it, then put it back and let it continue.

    What the command wrote is then that of the image as it was, or of the image as it is; never of
    a mixture, and never of the one under the name of the other.
    """
    worlds = trial.worlds
    operation = trial.choose((*FITS, *OUTPUTS, *OUTPUTS))
    uninterrupted = worlds.uninterrupted(operation)
    folder = "mixed" if "mixed" in operation.arguments else "photos"
    reads = uninterrupted.ended.reads
    names = [name for name in reads if name.startswith(f"{folder}/") and name.endswith(".png")]
    name = trial.choose(sorted(set(names)))
    # The first readings matter most: the image is checked, then used.
    nth = trial.random.randint(1, trial.choose((min(4, names.count(name)), names.count(name))))
    change = trial.choose(CHANGES)
    trial.tell(f"{operation.name}, {name} {change} before it is read for the {nth}. time")

    world = worlds.new(operation.needs)
    picture = world / name
    content = picture.read_bytes()
    given = digests(world, GIVEN)
    moves: tuple[tuple[str, str | None], ...] = ((str(picture), None),)
    if change != "vanishes":
        prepared = world.with_name("changed.png")
        prepared.write_bytes(changed_content(trial, change, picture, world / folder))
        moves = ((str(prepared), str(picture)),)
    moment = Moment(before=f"read {name}", nth=nth, signal=None, moves=moves)
    ended = worlds.commands.run(world, *operation.arguments, conditions=Conditions(moment))
    now = digests(world, GIVEN)
    others = {path for path, digest in given.items() if now.get(path) != digest}
    trial.injected = bool(others)
    assert others <= {str(picture.relative_to(world))}, f"changed: {others}"
    check_after_fault(world, ended, now, statuses=frozenset({0, WRONG}))
    trial.refused = ended.status == WRONG
    found = contents(world / operation.folder) if ended.status == 0 else None
    is_of_other = found is not None and bool(difference(uninterrupted.results, found))
    # What was made of the other image is complete, and would be kept by --resume.
    if is_of_other or (found is not None and operation in FITS):
        operation = replace(operation, again=("--overwrite",))
    changed = picture.read_bytes() if picture.exists() else None
    picture.write_bytes(content)
    check_continued(worlds, operation, worlds.again(operation), uninterrupted.results)
    if found is not None and is_of_other:
        check_is_of(trial, operation, picture, changed, found)
    trial.resumed_equal = True


def check_is_of(
    trial: Trial, operation: Operation, picture: Path, changed: bytes | None, found: dict[str, Any]
) -> None:
    """Check that a result is what the command gives if the image had been changed before."""
    worlds = trial.worlds
    world = worlds.new(operation.needs)
    if changed is None:
        picture.unlink()
    else:
        picture.write_bytes(changed)
    ended = worlds.commands.run(world, *operation.arguments)
    assert ended.status == 0, ended.error
    expected = contents(world / operation.folder)
    for each in (expected, found):
        # An image that is found but cannot be read is skipped, and one that is gone is not found.
        each.pop("facts.json", None)
    differing = difference(expected, found)
    assert not differing, f"neither of the image before nor of the one after: {differing}"


def changed_content(trial: Trial, change: str, picture: Path, folder: Path) -> bytes:
    """Return the content of an image that was changed."""
    content = picture.read_bytes()
    if change == "becomes empty":
        return b""
    if change == "is cut off":
        return content[: trial.random.randint(1, len(content) - 20)]
    if change == "grows":
        return content + bytes(100)
    others = [path for path in sorted(folder.rglob("*.png")) if path != picture]
    return trial.choose(others).read_bytes()
