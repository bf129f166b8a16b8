"""Fuzz the readers: each target in a process of its own, one after the other.

Example:
    python -m tests.fuzz --target facts --seconds 60

Inputs that reached new code are kept in the corpus folder, and the next run begins with them. What
was found wrong is written beside them, in ``findings``, each with its traceback; the exit status
is then 1. After a fix, the input belongs in ``tests/fuzz/corpus``, which the tests replay.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

SECONDS = 240
CORPUS = Path("build/fuzz")
LEAST_SECONDS = 5
"""A target that ended before its time is not started again for less."""


class Outcome(NamedTuple):
    """What became of a target."""

    name: str
    seconds: int
    executions: int
    edges: int
    findings: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz some or all targets; return 1 if there are findings."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--target", action="append", help="may be repeated (default: all)")
    parser.add_argument(
        "--seconds", type=int, default=SECONDS, help="processor time of each target"
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, help=f"folder (default: {CORPUS})")
    given = parser.parse_args(arguments)
    if find_spec("atheris") is None:
        print("needs atheris, for Linux: run pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    from tests.fuzz.worker import all_targets

    targets = all_targets()
    names = given.target or list(targets)
    if unknown := [name for name in names if name not in targets]:
        parser.error(f"no target {unknown[0]}; the targets are {', '.join(targets)}")
    print("| target | seconds | executions | edges | findings |\n|---|---|---|---|---|", flush=True)
    outcomes = []
    for name in names:
        outcomes.append(fuzz(name, given.seconds, given.corpus))
        print("|", " | ".join(map(str, outcomes[-1])), "|", flush=True)
    return int(any(each.findings for each in outcomes))


def fuzz(name: str, seconds: int, corpus: Path) -> Outcome:
    """Fuzz a target; go on if an input ends its process, which is a finding, too."""
    findings = corpus / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    log = findings.parent / f"{name}.log"
    used, executions, edges, crashes = 0.0, 0, 0, 0
    while (left := seconds - round(used)) >= LEAST_SECONDS:
        before = time_of_children()
        status = _in_child(name, left, corpus / name, findings, log)
        used += time_of_children() - before
        text = log.read_text(encoding="utf-8", errors="replace")
        counted = re.findall(r"^#(\d+)\s.*?cov: (\d+) ", text, re.MULTILINE)
        # The last line of progress, or the count at the end, if libFuzzer came to it.
        ends = re.findall(r"^stat::number_of_executed_units: (\d+)", text, re.MULTILINE)
        executions += max((int(number) for number in (*ends, *dict(counted))), default=0)
        edges = max([edges, *(int(covered) for _, covered in counted)])
        if status == 0:
            break
        crashes += 1
        (findings / f"ended-{crashes}.txt").write_text(text[-3000:], encoding="utf-8")
        if not counted:  # it did not even start
            print(text[-3000:], file=sys.stderr)
            break
    found = len([each for each in findings.iterdir() if each.suffix != ".txt"])
    return Outcome(name, round(used), executions, edges, max(found, crashes))


def time_of_children() -> float:
    """Return the seconds of the processor that ended children have taken."""
    times = os.times()
    return times.children_user + times.children_system


def _in_child(name: str, seconds: int, corpus: Path, findings: Path, log: Path) -> int:
    """Fuzz in a copy of this process, since libFuzzer never returns; return its exit status."""
    from tests.fuzz.worker import work

    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            work(name, seconds, corpus, findings)
        finally:
            os._exit(1)  # only an error leads here
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
