"""Commands that are killed by SIGKILL at a chosen moment.

Run as a program, this imports everything once and then forks for each command read from standard
input, since a fresh start takes seconds. An audit hook reports each file that is opened for
writing, moved or removed; the process that runs the command kills itself just before the chosen
change. Every moment between two changes of the disk can thus be tested.
"""

import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHANGES = frozenset({"open", "os.rename", "os.remove"})
OUTPUTS = (".out", ".error", ".changes")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: exit status, or the negative number of the signal that killed it.
        out: what it printed.
        error: what it printed to standard error.
        changes: changes of the disk, such as ``os.rename history.csv``; empty if it was killed.
    """

    status: int
    out: str
    error: str
    changes: list[str]


class Commands:
    """Run each command in its own process, which can be killed."""

    def __init__(self) -> None:
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.killable"],
            env=environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forking.communicate(timeout=60)

    def run(
        self, folder: Path, *arguments: object, kill_before: str | int | None = None, nth: int = 1
    ) -> Ended:
        """Run a command.

        Args:
            folder: working folder; it also holds the feature store.
            *arguments: the command line.
            kill_before: the change of the disk before which it is killed: the beginning of an entry
                of :attr:`Ended.changes`, or the number of the change, counted from 1.
            nth: which of the changes with that beginning, counted from 1.
        """
        asked = {
            "folder": str(folder),
            "arguments": [str(each) for each in arguments],
            "kill_before": kill_before,
            "nth": nth,
        }
        pipe_in, pipe_out = self._forking.stdin, self._forking.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        print(json.dumps(asked), file=pipe_in, flush=True)
        return Ended(**json.loads(pipe_out.readline()))


def environment() -> dict[str, str]:
    """Return the environment variables for commands."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _serve() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_all()
    for line in sys.stdin:
        asked = json.loads(line)
        folder = Path(asked["folder"])
        for name in OUTPUTS:
            (folder / name).unlink(missing_ok=True)
        process = os.fork()
        if not process:
            _run(folder, asked)
        _, code = os.waitpid(process, 0)
        out, error, changes = (
            (folder / name).read_text() if (folder / name).exists() else "[]" for name in OUTPUTS
        )
        ended = Ended(os.waitstatus_to_exitcode(code), out, error, json.loads(changes))
        sys.stdout.write(json.dumps(vars(ended)) + "\n")
        sys.stdout.flush()


def _import_all() -> None:
    """Import once what commands import when they run."""
    from importlib import import_module  # noqa: PLC0415

    import segdistill  # noqa: PLC0415

    for name in (
        *("segdistill.cli.main", "matplotlib.figure", "rasterio", "rasterio.io"),
        *("segdistill.depth.estimation", "torch.utils.tensorboard"),
        *("transformers.models.vit.modeling_vit", "transformers.models.dinov2.modeling_dinov2"),
        "transformers.models.depth_anything.modeling_depth_anything",
    ):
        import_module(name)
    for name in segdistill.__all__:
        getattr(segdistill, name)


def _run(folder: Path, asked: dict[str, Any]) -> None:
    """Run a command and exit."""
    from segdistill.cli.main import main  # noqa: PLC0415

    os.chdir(folder)
    os.environ["SEGDISTILL_CACHE"] = str(folder / "cache")
    for name, number in zip(OUTPUTS[:2], (1, 2), strict=True):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    changes = _watch(folder, asked["kill_before"], asked["nth"])
    try:
        status = main(asked["arguments"])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    noted = json.dumps(changes)
    Path(OUTPUTS[2]).write_text(noted)
    os._exit(status)


def _watch(folder: Path, kill_before: str | int | None, nth: int) -> list[str]:
    """Record changes of the disk from now on, and kill this process before one of them."""
    changes: list[str] = []

    def is_chosen() -> bool:
        if isinstance(kill_before, str):
            alike = [each for each in changes if each.startswith(kill_before)]
            return len(alike) == nth and alike[-1] is changes[-1]
        return len(changes) == kill_before

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or (event == "open" and not _is_for_writing(*arguments[1:])):
            return
        # A file that is moved is recorded by its new name; one that is open has only a number.
        name = arguments[1 if event == "os.rename" else 0]
        path = Path() if isinstance(name, int) else Path(os.fsdecode(name)).absolute()
        # TensorBoard's log is reopened for each line.
        if not path.is_relative_to(folder) or path.name.startswith("events."):
            return
        changes.append(f"{event} {path.name}")
        if is_chosen():
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(see)
    return changes


def _is_for_writing(mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) or any(each in (mode or "") for each in "wax+")


if __name__ == "__main__":
    _serve()
