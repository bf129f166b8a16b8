"""``segdistill`` as a process, from its entry point to its end."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from segdistill.version import __version__

AT_THE_END = """
import atexit, gc, sys
from segdistill.cli import main as module
atexit.register(lambda: print("frozen:", gc.get_freeze_count() > 0))
"""


def ended(*words: str) -> tuple[int, str, str]:
    """Run Python; return its exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_script_runs_it() -> None:
    path = Path(__file__).parents[2] / "pyproject.toml"
    scripts = tomllib.loads(path.read_text())["project"]["scripts"]
    assert scripts["segdistill"] == "segdistill.cli.main:run_process"


def test_the_exit_status_of_a_command_is_that_of_the_process(tmp_path: Path) -> None:
    module = ("-m", "segdistill.cli.main")
    assert ended(*module, "--version") == (0, f"segdistill {__version__}\n", "")
    status, out, error = ended(*module, "no-such-command")
    assert (status, out) == (2, "")
    assert error.startswith("segdistill: no command 'no-such-command'; ")
    status, out, error = ended(*module, "classes", str(tmp_path / "run"))
    assert (status, out) == (2, "")
    assert error.startswith("segdistill classes: ")
    assert error.endswith("\n")


@pytest.mark.parametrize("status", [0, 1, 3, 130])
def test_garbage_is_not_searched_for_at_the_end(status: int) -> None:
    # What ends a process, such as handlers of atexit, still runs.
    code = f"{AT_THE_END}module.main = lambda: {status}\nsys.exit(module.run_process())"
    assert ended("-c", code) == (status, "frozen: True\n", "")


def test_an_unexpected_error_is_not_hidden() -> None:
    code = f"{AT_THE_END}module.main = lambda: 1 // 0\nsys.exit(module.run_process())"
    status, _, error = ended("-c", code)
    assert status == 1
    assert error.startswith("Traceback")
    assert "ZeroDivisionError" in error
