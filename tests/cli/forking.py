"""Commands in processes of their own that start at once.

Run as a program, this imports everything once and then forks for each process that it is asked
for, since a fresh start takes seconds. Where the start itself is tested, tests start Python.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, reload
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

POLL_SECONDS = 0.002
COMMAND = "tests.cli.forking:command"
"""Runs ``segdistill``; the ranks of a distributed run are forked too."""

MODULES = (
    *("segdistill.cli.main", "segdistill.cli.distributed", "tests.helpers"),
    *("matplotlib.figure", "rasterio", "rasterio.io", "segdistill.depth.estimation"),
    *("segdistill.report.charts", "segdistill.sample.dataset", "torch.utils.tensorboard"),
    *("transformers.models.vit.modeling_vit", "transformers.models.dinov2.modeling_dinov2"),
    "transformers.models.depth_anything.modeling_depth_anything",
)


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


class Server:
    """Starts processes by forking one that has imported everything."""

    def __init__(self) -> None:
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forking"],
            env=environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self) -> None:
        """End the process that forks."""
        self._forking.communicate(timeout=60)

    def start(
        self, folder: Path, *arguments: object, entry: str = COMMAND, **variables: str
    ) -> "Forked":
        """Start a process.

        Args:
            folder: its working folder; it also holds the feature store.
            *arguments: arguments of the function, in text.
            entry: module and function that it runs, as ``module:function``.
            **variables: environment variables that it has beside those of the test.
        """
        handle, outputs = tempfile.mkstemp()
        os.close(handle)
        answer = self._ask(
            do="start",
            folder=str(folder),
            arguments=[str(each) for each in arguments],
            entry=entry,
            environment=environment() | {"SEGDISTILL_CACHE": str(folder / "cache")} | variables,
            outputs=outputs,
        )
        return Forked(answer["pid"], self, Path(outputs))

    def run(
        self, folder: Path, *arguments: object, entry: str = COMMAND, **variables: str
    ) -> tuple[int, str, str]:
        """Run a process to its end; return its exit status, output and errors."""
        process = self.start(folder, *arguments, entry=entry, **variables)
        out, error = process.communicate(timeout=300)
        assert process.returncode is not None
        return process.returncode, out, error

    def wait(self, pid: int, timeout: float) -> int | None:
        """Return the exit status of a process; ``None`` if it has not ended in time."""
        code: int | None = self._ask(do="wait", pid=pid, timeout=timeout)["code"]
        return code

    def _ask(self, **asked: object) -> dict[str, Any]:
        pipe_in, pipe_out = self._forking.stdin, self._forking.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        print(json.dumps(asked), file=pipe_in, flush=True)
        answer: dict[str, Any] = json.loads(pipe_out.readline())
        return answer


@dataclass
class Forked:
    """A process, with the methods of :class:`subprocess.Popen` that tests use."""

    pid: int
    server: Server
    outputs: Path
    returncode: int | None = field(default=None, init=False)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait until it ends; return its output and errors."""
        self.returncode = self.server.wait(self.pid, timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        paths = self.outputs, error_path(self.outputs)
        out, error = (path.read_text() for path in paths)
        for path in paths:
            path.unlink()
        return out, error


def error_path(outputs: Path) -> Path:
    return outputs.with_name(f"{outputs.name}.error")


def command(*arguments: str) -> int:
    """Run ``segdistill`` as a process of its own does."""
    from segdistill.cli import distributed  # noqa: PLC0415
    from segdistill.cli.main import main  # noqa: PLC0415

    vars(distributed)["subprocess"] = SimpleNamespace(
        Popen=ForkedRank, TimeoutExpired=subprocess.TimeoutExpired
    )
    return main(arguments)


class ForkedRank:
    """Stands for :class:`subprocess.Popen` where ``segdistill`` starts its ranks."""

    def __init__(
        self, words: Sequence[str], *, env: Mapping[str, str], stderr: IO[str] | None
    ) -> None:
        assert words[:3] == [sys.executable, "-m", "segdistill.cli.main"]
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            if stderr is not None:
                os.dup2(stderr.fileno(), 2)
            _become(COMMAND, words[3:], env)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(code) if pid else None
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_SECONDS)
        return code

    def terminate(self) -> None:
        self._signal(15)

    def kill(self) -> None:
        self._signal(9)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _become(entry: str, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run a function and exit, in a process that has just been forked."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(variables)
        reload(import_module("huggingface_hub.constants"))  # which holds variables
        module, _, function = entry.partition(":")
        code = int(getattr(import_module(module), function)(*arguments) or 0)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # noqa: BLE001 - as at the top of a program
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _start(asked: Mapping[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        outputs = Path(asked["outputs"])
        os.chdir(asked["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in ((1, outputs), (2, error_path(outputs))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        _become(asked["entry"], asked["arguments"], asked["environment"])
    return pid


def _wait(pid: int, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while True:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(code)
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL_SECONDS)


def _serve() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import segdistill  # noqa: PLC0415

        for name in (*MODULES, *(f"segdistill:{name}" for name in segdistill.__all__)):
            module, _, attribute = name.partition(":")
            getattr(import_module(module), attribute or "__name__")
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "start":
            answer: dict[str, int | None] = {"pid": _start(asked)}
        else:
            answer = {"code": _wait(asked["pid"], asked["timeout"])}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
