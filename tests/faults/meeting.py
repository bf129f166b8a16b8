"""What a forked process does that runs a command and meets a fault.

An audit hook reports each file that is opened, moved or removed; just before the chosen one, or
after some seconds of computing, the process sends itself a signal or changes files. Every moment
between two changes of the disk can thus be tested.
"""

import contextlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segdistill.cli.main import main
from tests.faults.commands import Moment

CHANGES = frozenset({"open", "os.rename", "os.remove"})


def command(facts: str, meets: str, *arguments: str) -> int:
    """Run a command under conditions, and write what it did.

    Args:
        facts: file for the attributes of :class:`tests.faults.commands.Ended`.
        meets: the conditions, as JSON.
        *arguments: the command line.
    """
    conditions = json.loads(meets)
    limit = conditions["largest_file"]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    moment = conditions["moment"]
    watch = _Watch(Path.cwd(), None if moment is None else Moment(**moment))
    with _wrong_clock(conditions["clock"]):
        try:
            status = main(arguments)
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        except BaseException:  # noqa: BLE001 - printed, as Python does at the end
            sys.excepthook(*sys.exc_info())
            status = 1
    watch.over = True
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    done = {"changes": watch.changes, "reads": watch.reads, "seconds": watch.seconds}
    Path(facts).write_text(json.dumps(done))
    return status


class _Watch:
    """Records changes of the disk from now on, and lets a fault happen before one of them."""

    def __init__(self, folder: Path, moment: Moment | None) -> None:
        self.changes: list[str] = []
        self.reads: list[str] = []
        self.over = False
        self._folder = folder
        self._moment = moment
        self._start = time.process_time()
        sys.addaudithook(self._see)
        if moment is not None and moment.seconds is not None:
            threading.Thread(target=self._count_down, args=(moment,), daemon=True).start()

    @property
    def seconds(self) -> float:
        """Seconds of computing so far."""
        return time.process_time() - self._start

    def _count_down(self, moment: Moment) -> None:
        while self.seconds < (moment.seconds or 0):
            time.sleep(0.002)
        if not self.over:
            _happen(moment)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or self.over:
            return
        # A file that is moved is recorded by its new name; one that is open has only a number.
        name = arguments[1 if event == "os.rename" else 0]
        path = Path() if isinstance(name, int) else Path(os.fsdecode(name)).absolute()
        # TensorBoard's log is reopened for each line.
        if not path.is_relative_to(self._folder) or path.name.startswith("events."):
            return
        if event == "open" and not _is_for_writing(*arguments[1:]):
            self.reads.append(path.relative_to(self._folder).as_posix())
            alike = [f"read {each}" for each in self.reads]
        else:
            self.changes.append(f"{event} {path.name}")
            alike = self.changes
        moment = self._moment
        if moment is not None and moment.before is not None and self._is_chosen(alike, moment):
            self._moment = None
            _happen(moment)

    def _is_chosen(self, events: list[str], moment: Moment) -> bool:
        if isinstance(moment.before, str):
            alike = [each for each in events if each.startswith(moment.before)]
            return len(alike) >= moment.nth
        # Threads may have added several at once.
        return events is self.changes and len(events) >= (moment.before or 0)


def _happen(moment: Moment) -> None:
    for source, target in moment.moves:
        if target is None:
            os.remove(source)  # noqa: PTH107 - within an audit hook
        else:
            os.replace(source, target)  # noqa: PTH105
    if moment.signal is not None:
        os.kill(os.getpid(), moment.signal)


@contextlib.contextmanager
def _wrong_clock(seconds: float) -> Iterator[None]:
    """Let this process's clock be wrong by so many seconds."""
    right, right_ns = time.time, time.time_ns
    if seconds:
        time.time = lambda: right() + seconds
        time.time_ns = lambda: right_ns() + int(seconds * 1e9)
    try:
        yield
    finally:
        time.time, time.time_ns = right, right_ns


def _is_for_writing(mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) or any(each in (mode or "") for each in "wax+")
