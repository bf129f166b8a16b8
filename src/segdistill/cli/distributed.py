"""Starting a command in several processes, and watching over them.

Each process is the same command, told by its environment which of them it is, as ``torchrun`` does
it. The process that the user started only waits: if one of them ends badly, the others are ended,
and it is said.
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
from typing import IO, NamedTuple

from jsonargparse import Namespace

from segdistill.cli.parser import CommandParser
from segdistill.errors import UserError
from segdistill.processes import in_group

GRACE_SECONDS = 10
POLL_SECONDS = 0.1
TELLING_SECONDS = 5
SAID = (1, 2, 130)
"""Exit statuses of processes that have said why."""


def distributed_options(parser: CommandParser) -> None:
    """Add the options of commands that several processes can work on."""
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        help="processes on this machine, each with a GPU of its own if there are GPUs",
    )
    parser.add_argument(
        "--nodes",
        type=int,
        default=1,
        help="machines; the same command runs on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK"
        " set. `torchrun` does as well",
    )


def run_distributed(command: str, arguments: Sequence[str], options: Namespace) -> int | None:
    """Run a command in as many processes as its options ask for.

    Args:
        command: its name.
        arguments: as it was given them.
        options: parsed; those of :func:`distributed_options` among them.

    Returns:
        Exit status; ``None`` if this process is to do the work itself.

    Raises:
        UserError: the numbers are out of range, or the address of the first machine is not set.
    """
    if in_group():
        return None
    for name in ("devices", "nodes"):
        if options[name] < 1:
            raise UserError(f"--{name} {options[name]}: must be at least 1")
    if options.devices * options.nodes == 1:
        return None
    words = [sys.executable, "-m", "segdistill.cli.main", command, *arguments]
    with ExitStack() as stack:
        started = []
        for rank, environment in enumerate(environments(options.devices, options.nodes)):
            # What the others say is mostly what the first says, too: it is kept for when it is not.
            said = stack.enter_context(tempfile.TemporaryFile("w+")) if rank else None
            process = subprocess.Popen(words, env=environment, stderr=said)  # noqa: S603 - typed so
            started.append(Started(process, said))
        try:
            return watch(started, command)
        finally:
            end(started)


class Started(NamedTuple):
    """A process that was started.

    Attributes:
        process: itself.
        said: its standard error, unless that is the user's.
    """

    process: "subprocess.Popen[bytes]"
    said: IO[str] | None


def environments(devices: int, nodes: int) -> list[dict[str, str]]:
    """Return the environment of each process of this machine.

    Args:
        devices: processes on each machine.
        nodes: machines.

    Raises:
        UserError: there are several machines, and what each must know of the others is not set.
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
        # By which Lightning Fabric knows that it need not start the processes.
        "TORCHELASTIC_RUN_ID": "segdistill",
    }
    return [
        {**known, **group, "LOCAL_RANK": str(local), "RANK": str(node * devices + local)}
        for local in range(devices)
    ]


def watch(started: Sequence[Started], command: str) -> int:
    """Wait until all processes have ended well, or one has ended badly.

    Args:
        started: by rank.
        command: that they run, for people.

    Returns:
        Exit status.
    """
    try:
        while True:
            states = [each.process.poll() for each in started]
            bad = [rank for rank, state in enumerate(states) if state]
            if bad:
                return _told(started, bad[0], command)
            if all(state == 0 for state in states):
                return 0
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        # The keyboard has interrupted them all; the first says how to go on.
        for each in started:
            each.process.wait()
        return 130


def end(started: Sequence[Started]) -> None:
    """End processes that still run, first politely."""
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


def _told(started: Sequence[Started], rank: int, command: str) -> int:
    """Say what happened, unless the first process has said it, and return the exit status."""
    first = started[0].process
    with suppress(subprocess.TimeoutExpired):
        # A mistake of the user's is met by all of them, and told by the first.
        first.wait(TELLING_SECONDS)
    if first.returncode in SAID:
        return first.returncode
    process, said = started[rank]
    if process.returncode in SAID and said is not None:
        said.seek(0)
        sys.stderr.write(said.read())
        return process.returncode
    state = process.returncode
    how = f"signal {signal.Signals(-state).name}" if state < 0 else f"exit status {state}"
    again = "; the same command with --resume goes on" if command in {"fit", "segment"} else ""
    print(
        f"segdistill {command}: process {rank + 1} of {len(started)} has ended ({how}), so all of"
        f" them were{again}",
        file=sys.stderr,
    )
    return 1


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
