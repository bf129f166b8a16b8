"""Inject faults, check that nothing is lost, and print a table: ``python -m tests.faults``."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.faults.clocks import turn_clock
from tests.faults.commands import Commands
from tests.faults.damage import damage
from tests.faults.disks import fill
from tests.faults.interruptions import kill, stop
from tests.faults.pairs import run_two
from tests.faults.pictures import change_pictures
from tests.faults.trial import Kind, Trial
from tests.faults.worlds import Worlds, write_template
from tests.forking import Server

KINDS: dict[str, Kind] = {
    "kill": kill,
    "stop": stop,
    "disk": fill,
    "images": change_pictures,
    "two": run_two,
    "damage": damage,
    "clock": turn_clock,
}
MEANINGS = {
    "kill": "SIGKILL at any moment",
    "stop": "SIGTERM or SIGINT at any moment",
    "disk": "full disk, or limit of the size of files",
    "images": "image gone, cut off, empty, replaced or longer while in use",
    "two": "two commands at once in one place",
    "damage": "damaged files of the feature store and of runs",
    "clock": "clock turned, times of files in the future",
}


TRIES = 20
"""How often a fault is drawn that does not take place, since the command is over before."""


@dataclass(frozen=True)
class Injected:
    """A fault that was injected.

    Attributes:
        number: its number; with the seed it determines everything that is drawn.
        kind: its kind.
        what: what was done, in words.
        failure: what was lost or wrong; nothing if all is well.
        resumed_equal: whether a result was compared with that without a fault, and was the same.
        refused: whether a command refused to go on, with one line.
    """

    number: int
    kind: str
    what: str
    failure: str
    resumed_equal: bool
    refused: bool


@contextmanager
def faulty_worlds(folder: Path, server: Server) -> Iterator[Worlds]:
    """Yield worlds in which faults can be injected, in a folder."""
    template = write_template(folder / "template")
    worlds = Worlds(template, folder / "place" / "world", Commands(server))
    yield worlds
    worlds.remove()


def inject(worlds: Worlds, number: int, seed: int, kinds: Iterable[str] = KINDS) -> Injected:
    """Inject a fault; kinds take turns."""
    names = list(kinds)
    kind = names[number % len(names)]
    random = Random(f"{seed} {kind} {number}")  # noqa: S311 - no secret
    failure = ""
    for _ in range(TRIES):
        trial = Trial(worlds, random)
        try:
            KINDS[kind](trial)
        except AssertionError as error:
            failure = str(error) or "a check failed"
        if trial.injected or failure:
            break
    else:
        failure = f"no fault took place in {TRIES} tries"
    what = "; ".join(trial.told)
    return Injected(number, kind, what, failure, trial.resumed_equal and not failure, trial.refused)


def as_table(injected: Iterable[Injected]) -> str:
    """Return a table by kind, as Markdown."""
    everything = list(injected)
    lines = [
        "| Fault | Injected | Nothing lost or wrong | Equal result | Refused in one line |",
        "|---|---:|---:|---:|---:|",
    ]
    rows = [
        (meaning, [each for each in everything if each.kind == kind])
        for kind, meaning in MEANINGS.items()
    ]
    for meaning, some in [*rows, ("all", everything)]:
        if some:
            numbers = (
                len(some),
                sum(not each.failure for each in some),
                sum(each.resumed_equal for each in some),
                sum(each.refused for each in some),
            )
            lines.append(f"| {meaning} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def main() -> int:
    """Inject faults; return 1 if something was lost or wrong."""
    parser = argparse.ArgumentParser(description="Inject faults into real use of segdistill.")
    parser.add_argument("--count", type=int, default=200, help="number of faults (200)")
    parser.add_argument("--seed", type=int, default=0, help="what all choices are drawn from (0)")
    parser.add_argument("--kind", choices=KINDS, help="only faults of a kind")
    parser.add_argument("--only", type=int, help="only the fault with this number")
    given = parser.parse_args()
    numbers = range(given.count) if given.only is None else [given.only]
    injected = []
    with (
        TemporaryDirectory(prefix="faults-") as folder,
        closing(Server()) as server,
        faulty_worlds(Path(folder), server) as worlds,
    ):
        for number in numbers:
            if given.kind and list(KINDS)[number % len(KINDS)] != given.kind and given.only is None:
                continue
            start = time.monotonic()
            found = inject(worlds, number, given.seed)
            injected.append(found)
            seconds = time.monotonic() - start
            print(f"{number:4} {found.kind:7} {seconds:5.1f} s  {found.what}", flush=True)
            if found.failure:
                print(
                    f"     FAILED: {found.failure}\n"
                    f"     again: python -m tests.faults --seed {given.seed} --only {number}",
                    flush=True,
                )
    print(f"\n{as_table(injected)}")
    return int(any(each.failure for each in injected))


if __name__ == "__main__":
    sys.exit(main())
