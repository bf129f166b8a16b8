"""What must hold after every fault, and after the command has continued."""

from pathlib import Path
from typing import Any

from tests.faults.commands import Ended
from tests.faults.contents import (
    DESCRIBED,
    contents,
    difference,
    digests,
    leftovers,
    main_file,
    whole_files,
)
from tests.faults.worlds import GIVEN, Operation, Worlds, classes_of

KILLED = -9
INTERRUPTED = 130
WRONG = 2


def check_told(ended: Ended, *, statuses: frozenset[int]) -> None:
    """Check that a command ended as it may, without a traceback, and told its reason in a line."""
    said = f"status {ended.status}: {ended.out}{ended.error}"
    assert "Traceback" not in ended.out + ended.error, said
    assert ended.status in statuses, said
    if ended.status == WRONG:
        assert ended.error.strip(), said
        assert len(ended.error.strip().splitlines()[-1]) < 2100, said


def check_after_fault(
    world: Path, ended: Ended, given: dict[str, str], *, statuses: frozenset[int]
) -> dict[Path, int]:
    """Check a world just after a fault; return its whole files, as :func:`whole_files`.

    Args:
        world: the world.
        ended: how the command ended.
        given: digests of the user's files.
        statuses: exit statuses that the fault may have.
    """
    check_told(ended, statuses=statuses)
    assert digests(world, GIVEN) == given, "files of the user were changed"
    return whole_files(world, given=GIVEN)


def check_continued(
    worlds: Worlds, operation: Operation, ended: Ended, expected: dict[str, Any]
) -> None:
    """Check that a command that continued gave the same as without a fault, and left nothing."""
    check_told(ended, statuses=frozenset({0}))
    world = worlds.folder
    whole_files(world, given=GIVEN)
    found = contents(world / operation.folder)
    differing = difference(expected, found)
    assert not differing, differing
    remaining = leftovers(world)
    assert not remaining, f"left behind: {remaining}"


def check_kept(world: Path, operation: Operation, before: dict[Path, int]) -> None:
    """Check that files that were complete were not written again."""
    for path, number in before.items():
        if path.relative_to(world).parts[0] not in operation.kept or path.name in DESCRIBED:
            continue
        if main_file(path) in before:
            assert path.stat().st_ino == number, f"{path.name} was written again"


def check_edit(worlds: Worlds, operation: Operation, before: Any) -> None:
    """Check that an edit of classes that met a fault was made or was not; then make it.

    Args:
        worlds: the current world is the one to check.
        operation: the edit.
        before: classes before the edit.
    """
    world = worlds.folder
    wanted = edited(worlds, operation)
    now = classes_of(world / "run")
    assert now in (before, wanted), f"classes are neither the old nor the new ones: {now}"
    if now == before:
        ended = worlds.commands.run(world, *operation.arguments)
        check_told(ended, statuses=frozenset({0}))
    assert classes_of(world / "run") == wanted
    ended = worlds.commands.run(world, "classes", "run", "--undo", "--quiet")
    check_told(ended, statuses=frozenset({0}))
    assert classes_of(world / "run") == before, "undo gives other classes"
    assert not leftovers(world / "run")


def edited(worlds: Worlds, operation: Operation) -> Any:
    """Return the classes of the run after an edit without a fault."""
    import json  # noqa: PLC0415

    results = worlds.uninterrupted(operation).results
    classes = json.loads(results["segmenter.json"])["classes"]
    return [
        (each["name"], each.get("members") or [], each.get("hidden", False)) for each in classes
    ]
