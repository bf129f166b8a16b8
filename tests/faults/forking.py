"""Forks a process for each command that it reads from standard input, and lets it meet its fault.

It imports everything once, since a fresh start takes seconds. In the forked process, an audit hook
reports each file that is opened, moved or removed; just before the chosen one, or after some
seconds of computing, the process sends itself a signal or changes files. Every moment between two
changes of the disk can thus be tested.
"""

import contextlib
import json
import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.commands import Moment

CHANGES = frozenset({"open", "os.rename", "os.remove"})


def _serve() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_all()
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait_for" in asked:
            process, code = os.waitpid(asked["wait_for"], os.WNOHANG | os.WUNTRACED)
            answer = code if process else None
        else:
            answer = os.fork()
            if not answer:
                _run(asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _import_all() -> None:
    """Import once what commands import when they run."""
    from importlib import import_module  # noqa: PLC0415

    import segdistill  # noqa: PLC0415

    for name in (
        *("segdistill.cli.main", "rasterio", "rasterio.io"),
        *("matplotlib.figure", "matplotlib.backends.backend_svg", "segdistill.report.page"),
        *("matplotlib.backends.backend_agg", "segdistill.report.evaluation_page"),
        *("segdistill.depth.estimation", "torch.utils.tensorboard"),
        *("transformers.models.vit.modeling_vit", "transformers.models.dinov2.modeling_dinov2"),
        "transformers.models.depth_anything.modeling_depth_anything",
    ):
        import_module(name)
    for name in segdistill.__all__:
        getattr(segdistill, name)


def _run(asked: dict[str, Any]) -> None:
    """Run a command and exit."""
    from segdistill.cli.main import main  # noqa: PLC0415

    folder, outputs = Path(asked["folder"]), Path(asked["outputs"])
    os.chdir(folder)
    os.environ["SEGDISTILL_CACHE"] = str(folder / "cache")
    for name, number in (("out", 1), ("error", 2)):
        os.dup2(os.open(outputs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    conditions = asked["conditions"]
    limit = conditions["largest_file"]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    moment = conditions["moment"]
    watch = _Watch(folder, None if moment is None else Moment(**moment))
    with _wrong_clock(conditions["clock"]):
        try:
            status = main(asked["arguments"])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        except BaseException:  # noqa: BLE001 - printed, as Python does at the end
            sys.excepthook(*sys.exc_info())
            status = 1
    watch.over = True
    sys.stdout.flush()
    sys.stderr.flush()
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    facts = {"changes": watch.changes, "reads": watch.reads, "seconds": watch.seconds}
    (outputs / "facts").write_text(json.dumps(facts))
    os._exit(status)


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


if __name__ == "__main__":
    _serve()
