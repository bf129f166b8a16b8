"""Commands in processes that are forked, and that meet a fault at a chosen moment."""

import json
import os
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.forking import Forked, Server

MEETING = "tests.faults.meeting:command"
SECONDS = 120.0
"""Time after which a command counts as hanging."""


@dataclass(frozen=True)
class Moment:
    """A moment of a command, and what happens then.

    Attributes:
        before: the change of the disk, or the reading of a file, before which it happens: the
            beginning of an entry of :attr:`Ended.changes`, or of ``read PATH``; or the number of
            the change, counted from 1.
        nth: which of the events with that beginning, counted from 1.
        seconds: in place of ``before``, the seconds of computing after which it happens.
        signal: signal that the process sends itself.
        moves: files that are moved, each with its new path; nothing as the new path removes it.
    """

    before: str | int | None = None
    nth: int = 1
    seconds: float | None = None
    signal: int | None = signal.SIGKILL
    moves: tuple[tuple[str, str | None], ...] = ()

    def __str__(self) -> str:
        when = f"after {self.seconds:.2f} s" if self.seconds is not None else ""
        if self.before is not None:
            nth = f" no. {self.nth}" if self.nth > 1 else ""
            numbered = isinstance(self.before, int)
            when = f"before {f'change {self.before}' if numbered else self.before}{nth}"
        return when if self.signal is None else f"{signal.Signals(self.signal).name} {when}"


@dataclass(frozen=True)
class Conditions:
    """What a process runs under.

    Attributes:
        moment: when a fault happens to it.
        largest_file: size in bytes that no file may exceed, as with ``ulimit -f``.
        clock: seconds by which its clock is wrong.
    """

    moment: Moment | None = None
    largest_file: int | None = None
    clock: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: exit status, or the negative number of the signal that killed it.
        out: what it printed.
        error: what it printed to standard error.
        changes: changes of the disk, such as ``os.rename history.csv``; empty if it was killed.
        reads: files that were opened for reading, relative to the working folder, likewise.
        seconds: seconds of computing, likewise.
    """

    status: int
    out: str
    error: str
    changes: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Started:
    """A command that is running.

    Attributes:
        forked: its process.
        facts: file of what it did, which it writes at its end.
    """

    forked: Forked
    facts: Path


class Commands:
    """Run each command in its own process, which can meet a fault."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def run(
        self, folder: Path, *arguments: object, conditions: Conditions | None = None, **moment: Any
    ) -> Ended:
        """Run a command.

        Args:
            folder: working folder; it also holds the feature store.
            *arguments: the command line.
            conditions: what it runs under.
            **moment: attributes of :class:`Moment`, in place of ``conditions``.
        """
        if moment:
            conditions = Conditions(Moment(**moment))
        return self.wait(self.start(folder, *arguments, conditions=conditions))

    def start(
        self, folder: Path, *arguments: object, conditions: Conditions | None = None
    ) -> Started:
        """Start a command; several can run at once."""
        handle, facts = tempfile.mkstemp()
        os.close(handle)
        meets = json.dumps(_plain(conditions or Conditions()))
        return Started(
            self._server.start(folder, facts, meets, *arguments, entry=MEETING), Path(facts)
        )

    def wait(self, started: Started, *, seconds: float = SECONDS) -> Ended:
        """Wait for a command.

        Raises:
            AssertionError: it is still running after so many seconds; it is killed.
        """
        forked = started.forked
        if not self.has_ended(started, seconds=seconds):
            os.kill(forked.pid, signal.SIGKILL)
            raise AssertionError(f"still running after {seconds:.0f} s: {forked.said()}")
        known = json.loads(started.facts.read_text() or "{}")
        started.facts.unlink()
        assert forked.returncode is not None
        return Ended(forked.returncode, *forked.said(), **known)

    def has_ended(
        self, started: Started, *, seconds: float = SECONDS, or_stopped: bool = False
    ) -> bool:
        """Return whether a command ends within some seconds.

        Args:
            started: the command.
            seconds: how long to wait.
            or_stopped: return once the command has been stopped by SIGSTOP, too.
        """
        return started.forked.has_ended(seconds, or_stopped=or_stopped)


def _plain(conditions: Conditions) -> dict[str, Any]:
    moment = conditions.moment
    return vars(conditions) | {"moment": None if moment is None else vars(moment)}
