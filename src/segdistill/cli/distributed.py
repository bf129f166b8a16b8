"""Starting a command in several processes, and supervising them.

Each process runs the same command and finds its rank in its environment, as with ``torchrun``. The
process that the user started only waits: if one process fails, it terminates the others and reports
the failure.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import IO, NamedTuple

from segdistill.config.settings import Count
from segdistill.errors import UserError
from segdistill.processes import LOST, in_group

GRACE_SECONDS = 10
POLL_SECONDS = 0.1
REPORT_SECONDS = 5
REPORTED = (1, 2, 130)
"""Exit statuses of processes that have reported why they ended."""


@dataclass(frozen=True)
class Processes:
    """The options of commands that can run in several processes.

    Attributes:
        devices: number of processes on this machine, each with its own GPU if there are GPUs
        nodes: number of machines; run the same command on each, with MASTER_ADDR, MASTER_PORT and
            NODE_RANK set, or use `torchrun`
    """

    devices: Count = 1
    nodes: Count = 1


def run_distributed(words: Sequence[str], devices: int, nodes: int, resume: str) -> int | None:
    """Run a command in several processes.

    Args:
        words: the command and what the user typed after it.
        devices: number of processes per machine.
        nodes: number of machines.
        resume: how the command is resumed, for errors.

    Returns:
        Exit status; ``None`` if this process is to do the work itself.

    Raises:
        UserError: the address of the first machine is not set.
    """
    if in_group() or devices * nodes == 1:
        return None
    command = [sys.executable, "-m", "segdistill.cli.main", *words]
    with ExitStack() as stack:
        started = []
        for rank, environment in enumerate(environments(devices, nodes)):
            # Other ranks mostly print what rank 0 prints: it is shown only if rank 0 does not fail.
            log = stack.enter_context(tempfile.TemporaryFile("w+")) if rank else None
            process = subprocess.Popen(command, env=environment, stderr=log)  # noqa: S603 - the user's own command
            started.append(Started(process, log))
        try:
            return _watch(started, words[0], resume)
        finally:
            _end(started)


class Started(NamedTuple):
    """A process, and its standard error unless that is shown to the user."""

    process: "subprocess.Popen[bytes]"
    log: IO[str] | None


def environments(devices: int, nodes: int) -> list[dict[str, str]]:
    """Return the environment of each process on this machine.

    Raises:
        UserError: there are several machines, and a variable that describes them is not set.
    """
    known = dict(os.environ)
    if nodes > 1:
        missing = [n for n in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if n not in known]
        if missing:
            raise UserError(
                f"--nodes {nodes}: set {', '.join(missing)}: the first machine's address, a free"
                " port there, and the number of this machine, from 0"
            )
    else:
        known |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
    node = int(known["NODE_RANK"])
    group = {
        "WORLD_SIZE": str(devices * nodes),
        "LOCAL_WORLD_SIZE": str(devices),
        "GROUP_RANK": str(node),
        # Tells Lightning Fabric that the processes are started already.
        "TORCHELASTIC_RUN_ID": "segdistill",
    }
    return [
        {**known, **group, "LOCAL_RANK": str(local), "RANK": str(node * devices + local)}
        for local in range(devices)
    ]


def _watch(started: Sequence[Started], command: str, resume: str) -> int:
    """Wait until all processes have succeeded or one has failed, and return the exit status."""
    try:
        while True:
            states = [each.process.poll() for each in started]
            failed = [rank for rank, state in enumerate(states) if state]
            if failed:
                # Processes that only missed another one end, too.
                cause = min(failed, key=lambda rank: (states[rank] == LOST, rank))
                return _report(started, cause, command, resume)
            if all(state == 0 for state in states):
                return 0
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        # Ctrl-C has interrupted all of them; rank 0 says how to resume.
        for each in started:
            each.process.wait()
        return 130


def _end(started: Sequence[Started]) -> None:
    """Terminate processes that still run; kill those that do not end in time."""
    for each in started:
        if each.process.poll() is None:
            each.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for each in started:
        try:
            each.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


def _report(started: Sequence[Started], rank: int, command: str, resume: str) -> int:
    """Report why a process failed, unless rank 0 has done so, and return the exit status."""
    first = started[0].process
    with suppress(subprocess.TimeoutExpired):
        # All ranks notice invalid input, and rank 0 reports it.
        first.wait(REPORT_SECONDS)
    if first.returncode in REPORTED:
        return first.returncode
    process, log = started[rank]
    if process.returncode in REPORTED and log is not None:
        log.seek(0)
        sys.stderr.write(log.read())
        return process.returncode
    state = process.returncode
    how = f"signal {signal.Signals(-state).name}" if state < 0 else f"exit status {state}"
    print(
        f"segdistill {command}: process {rank + 1} of {len(started)} ended with {how}; all"
        f" processes were stopped{resume}",
        file=sys.stderr,
    )
    return 1


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
