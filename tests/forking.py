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
COMMAND = "tests.forking:command"
"""Runs ``segdistill``; the ranks of a distributed run are forked too."""

MODULES = (
    *("segdistill.cli.main", "segdistill.cli.distributed", "tests.helpers"),
    *("lightning_fabric", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("matplotlib.backends.backend_svg", "rasterio", "rasterio.io", "scipy.ndimage"),
    *("scipy.spatial", "segdistill.depth.estimation", "segdistill.report.charts"),
    *("segdistill.report.evaluation_page", "segdistill.report.page"),
    *("segdistill.sample.dataset", "torch.utils.tensorboard"),
    *("transformers.models.vit.modeling_vit", "transformers.models.dinov2.modeling_dinov2"),
    "transformers.models.depth_anything.modeling_depth_anything",
)


def environment() -> dict[str, str]:
    """Return the environment variables for commands."""
    root = str(Path(__file__).parents[1])
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
        self._scratch = tempfile.TemporaryDirectory()
        self._count = 0
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "tests.forking"],
            env=environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self) -> None:
        """End the process that forks."""
        self._forking.communicate(timeout=60)
        self._scratch.cleanup()

    def start(
        self, folder: Path, *arguments: object, entry: str = COMMAND, **variables: str
    ) -> "Forked":
        """Start a process; several can run at once.

        Args:
            folder: its working folder; it also holds the feature store.
            *arguments: arguments of the function, in text.
            entry: module and function that it runs, as ``module:function``.
            **variables: environment variables that it has beside those of the test.
        """
        self._count += 1
        outputs = Path(self._scratch.name) / str(self._count)
        outputs.mkdir()
        pid = self._ask(
            folder=str(folder),
            arguments=[str(each) for each in arguments],
            entry=entry,
            environment=environment() | {"SEGDISTILL_CACHE": str(folder / "cache")} | variables,
            outputs=str(outputs),
        )
        return Forked(pid, self, outputs)

    def run(
        self, folder: Path, *arguments: object, entry: str = COMMAND, **variables: str
    ) -> tuple[int, str, str]:
        """Run a process to its end; return its exit status, output and errors."""
        process = self.start(folder, *arguments, entry=entry, **variables)
        out, error = process.communicate(timeout=300)
        assert process.returncode is not None
        return process.returncode, out, error

    def state(self, pid: int) -> int | None:
        """Return what ``waitpid`` tells of a process; ``None`` while it runs."""
        code: int | None = self._ask(wait_for=pid)
        return code

    def _ask(self, **asked: object) -> Any:
        pipe_in, pipe_out = self._forking.stdin, self._forking.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        print(json.dumps(asked), file=pipe_in, flush=True)
        return json.loads(pipe_out.readline())


@dataclass
class Forked:
    """A process, with the methods of :class:`subprocess.Popen` that tests use.

    Attributes:
        pid: its number.
        server: what it was forked by.
        outputs: folder of its output and errors.
        returncode: exit status, once it has ended; the negative number of the signal that killed
            it.
    """

    pid: int
    server: Server
    outputs: Path
    returncode: int | None = field(default=None, init=False)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait until it ends; return its output and errors."""
        if not self.has_ended(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.said()

    def has_ended(self, timeout: float, *, or_stopped: bool = False) -> bool:
        """Return whether it ends in time; ``or_stopped``: or is stopped by SIGSTOP before."""
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            code = self.server.state(self.pid)
            if code is not None and not os.WIFSTOPPED(code):
                self.returncode = os.waitstatus_to_exitcode(code)
            elif (code is not None and or_stopped) or time.monotonic() > deadline:
                return False
            else:
                time.sleep(POLL_SECONDS)
        return True

    def said(self) -> tuple[str, str]:
        """Return its output and errors so far."""
        paths = (self.outputs / name for name in ("out", "error"))
        out, error = (path.read_text(errors="replace") if path.exists() else "" for path in paths)
        return out, error


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


def _reload_hub_constants() -> None:
    """Read the environment variables of the hub's client again."""
    constants = reload(import_module("huggingface_hub.constants"))
    # Before 1.0, another module has a copy.
    downloads, name = import_module("huggingface_hub.file_download"), "HUGGINGFACE_CO_URL_TEMPLATE"
    if hasattr(downloads, name):
        setattr(downloads, name, getattr(constants, name))


def _become(entry: str, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run a function and exit, in a process that has just been forked."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(variables)
        _reload_hub_constants()
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
        os.chdir(asked["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "error")):
            path = Path(asked["outputs"]) / name
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        _become(asked["entry"], asked["arguments"], asked["environment"])
    return pid


def _state(pid: int) -> int | None:
    changed, code = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    return code if changed else None


def _serve() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import segdistill  # noqa: PLC0415

        for name in (*MODULES, *(f"segdistill:{name}" for name in segdistill.__all__)):
            module, _, attribute = name.partition(":")
            getattr(import_module(module), attribute or "__name__")
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _state(asked["wait_for"]) if "wait_for" in asked else _start(asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
